"""``sketchclip show``: sketches of a test with their first photos, above those of a baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from data_modules.listing.entries import no_folder
from data_modules.ranges import Count, Seed
from sketchclip.commands.arguments import Parser, listed, save_picture
from sketchclip.errors import SketchClipError
from sketchclip.plots.choice import Pick

_EXAMPLES = """examples:
  sketchclip show runs/doodles/version_0 --pick worst -n 12
  sketchclip show GRID/ours/seed_0 --baseline GRID/frozen/seed_0 --pick most_improved
  sketchclip show RUN --root /elsewhere/Sketchy -o grid.png
"""


def run(args: Sequence[str]) -> Path:
    """Run the command; return the file of the picture."""
    parser = Parser(prog="sketchclip show", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of a test, or of a run of 'ablate'")
    parser.add_argument("--baseline", type=Path, help="test on the same queries, shown below")
    parser.add_argument("--pick", choices=get_args(Pick), default="random")
    parser.add_argument("-n", type=Count, default=8, dest="count", help="queries (default: 8)")
    parser.add_argument("-o", type=Path, default=Path("grid.png"), help="default: grid.png")
    parser.add_argument("--root", type=Path, help="folder of the data, if it was moved")
    parser.add_argument(
        "--labels", type=listed, default=[], help="of run and baseline: Ours,Frozen"
    )
    parser.add_argument("--seed", type=Seed, default=0, help="seed of random choices (default: 0)")
    options = parser.parse_args(list(args))
    labels, runs = options.labels, 1 + (options.baseline is not None)
    if labels and len(labels) != runs:
        raise SketchClipError(f"--labels {','.join(labels)}: expected {runs} names.")
    if options.root is not None and not options.root.is_dir():
        raise SketchClipError(
            f"--root {options.root} {no_folder(options.root)}. Expected the folder of the data."
        )
    from sketchclip.plots.examples import picture

    folders, choice = (options.run, options.baseline), (options.pick, options.count)
    image = picture(*folders, *choice, options.root, options.seed, labels)
    save_picture(image, options.o)
    print(f"Picture: {options.o}")
    return Path(options.o)
