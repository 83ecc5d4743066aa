"""Crop WordNet's nouns to those of ImageNet's classes and of the shipped class lists.

apt-get install wordnet-base
python tools/wordnet_nouns.py /usr/share/wordnet
"""

import argparse
from itertools import takewhile
from pathlib import Path

from timm.data import ImageNetInfo

from data_modules.splits.split import read_class_list
from sketchclip.semantics.class_synsets import class_synsets
from sketchclip.semantics.wordnet_file import PACKAGED, Nouns, read_nouns, write_nouns

SPLITS = Path(__file__).resolve().parents[1] / "data_modules" / "splits"
LICENCE = PACKAGED.with_name("wordnet_LICENSE.txt")
HEAD = f"""\
# Nouns of WordNet 3.0, Copyright 2006 by Princeton University; licence: {LICENCE.name}.
# Those of ImageNet's 1,000 classes and of the class lists in data_modules/splits, and all above
# them. A line: number, words with the number of their sense, numbers of the nouns above.
# Written by tools/wordnet_nouns.py.
"""


def class_names() -> list[str]:
    """Names of all classes in the shipped lists, the bundled benchmarks among them, sorted."""
    lists = [read_class_list(path.read_text("utf-8")) for path in SPLITS.glob("*.txt")]
    return sorted({name for names in lists for name in names})


def build(nouns: Nouns) -> str:
    """Text of the packaged file, from all nouns of WordNet 3.0."""
    imagenet = {int(name[1:]) for name in ImageNetInfo("imagenet-1k").label_names()}
    return HEAD + write_nouns(nouns, imagenet | {*class_synsets(nouns, class_names())})


def licence(folder: str) -> str:
    """Licence at the head of WordNet's files, whose lines are numbered and padded."""
    with (Path(folder) / "data.noun").open(encoding="utf-8") as file:
        head = takewhile(lambda line: line.startswith("  "), file)
        return "".join(line.strip().partition(" ")[2].strip() + "\n" for line in head)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description="Write sketchclip/assets/wordnet_nouns.txt.")
    parser.add_argument("folder", help="folder of WordNet 3.0 with data.noun and index.noun")
    folder = parser.parse_args().folder
    PACKAGED.write_text(build(read_nouns(folder)), encoding="utf-8")
    LICENCE.write_text(licence(folder), encoding="utf-8")
    lines = len(PACKAGED.read_text("utf-8").splitlines()) - HEAD.count("\n")
    print(f"{PACKAGED}: {lines} nouns, {PACKAGED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
