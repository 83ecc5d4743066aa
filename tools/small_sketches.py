"""Copy EmojiPairs with small sketches: a control with a gap that adaptation can close.

    python tools/small_sketches.py small

Commands to run on it and their results: results/embedded/README.md, the part on the control.
Photos, names and splits stay; each sketch is shrunk and centred on its white page.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image

from data_modules import EmojiPairs

SHARE = 0.36  # of the page's side


def shrink(sketch: Image.Image) -> Image.Image:
    """Shrink a square grey drawing to the middle of a white page of its size."""
    side = round(SHARE * sketch.width)
    page = Image.new("L", sketch.size, 255)
    first = (sketch.width - side) // 2
    page.paste(sketch.convert("L").resize((side, side), Image.Resampling.BOX), (first, first))
    return page


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="folder to make")
    target = parser.parse_args().target
    source = EmojiPairs().catalogue.files.root
    shutil.copytree(source / "photo", target / "photo")
    for path in sorted((source / "sketch").glob("*/*.png")):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shrink(Image.open(path)).save(copy)


if __name__ == "__main__":
    main()
