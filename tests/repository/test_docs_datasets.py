"""The page on datasets: its counts are those of the package, its trees are recognized."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

import data_modules
from data_modules.splits.split import named_splits, packaged_list
from sketchclip.cli import main
from tests.repository.test_docs import DOCS, blocks

PAGE = DOCS / "datasets.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", re.MULTILINE)


def number(text):
    return None if text.startswith("about") else int(text.replace(",", ""))


def rows():
    return [(m[1], m[2], [number(cell) for cell in m[3].split(" | ")]) for m in ROW.finditer(TEXT)]


TEXT = PAGE.read_text("utf-8")
BUNDLED = ("Doodles", "EmojiPairs")


@pytest.mark.parametrize(("module", "split", "shown"), rows())
def test_counts_are_those_of_the_package(module, split, shown):
    classes = [len(packaged_list(split, side)) for side in ("seen", "unseen")]
    dataset = getattr(data_modules, module)
    key = f"{split}, base photos alone" if module == "SketchyBasic" else split
    known = dataset.published[key]
    totals = [known.sketches, known.photos]
    assert shown == [*classes, *totals, known.unseen_sketches, known.unseen_photos]
    if module in BUNDLED:  # on disk, too
        files = dataset(validation="none").catalogue
        sides = files.files.listing
        assert totals == [sum(map(len, side.values())) for side in sides]
        training = [sum(map(len, side.values())) for side in files.training]
        if module == "Doodles":
            assert f"{training[0]:,} sketches and {training[1]} photos, before validation" in TEXT


def test_no_split_is_missing():
    found = {split for _, split, _ in rows()}
    assert found == {name for name in named_splits() if not name.startswith("random")}
    published = {
        (module, key.partition(",")[0])
        for module in ("Sketchy", "SketchyBasic", "TUBerlin", "QuickDraw", *BUNDLED)
        for key in getattr(data_modules, module).published
    }
    assert {(module, split) for module, split, _ in rows()} == published


def test_sizes_of_the_bundled_archives():
    folder = Path(data_modules.__file__).parent / "benchmarks"
    sizes = [
        f"{(folder / f'{n}.zip').stat().st_size / 1e6:.1f} MB" for n in ("doodles", "emoji_pairs")
    ]
    assert " and ".join(sizes) in TEXT


TREES = {
    "Sketchy": ["Sketchy"],
    "TU-Berlin": ["TUBerlin"],
    "QuickDraw-Extended": ["QuickDraw"],
    "The resized archive of SAKE": ["Sketchy", "TUBerlin"],
    "Folders of your own": ["SketchPhotoFolder"],
}


@pytest.mark.parametrize("section", TREES)
def test_a_tree_is_recognized_by_the_check_beside_it(section, tmp_path, capsys):
    """Each tree, with some classes of the dataset, is what 'data check' takes it for."""
    (tree,) = (b.text for b in blocks(PAGE) if b.section == section and b.language == "text")
    names = {"Sketchy": "sketchy_104_21", "TUBerlin": "tuberlin_sempcyc"}
    split = names.get(TREES[section][0], "quickdraw_80_30")
    classes = [*packaged_list(split, "seen")[:12], *packaged_list(split, "unseen")[:4]]
    for line in tree.split():
        for name in classes:
            file = Path(str(tmp_path) + re.sub("/(airplane|cat)(?=/)", f"/{name}", line))
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), "white").save(file)
    checks = re.findall(r"^\$ sketchclip (data check \S+)$", TEXT, re.MULTILINE)
    roots = sorted(
        {line.split()[-1] for line in checks if Path(str(tmp_path) + line.split()[-1]).is_dir()}
    )
    found = []
    for root in roots:
        capsys.readouterr()
        with suppress(SystemExit):  # a few classes are no complete archive
            main(["data", "check", f"{tmp_path}{root}", "--quick", "--json", "-"])
        found.append(json.loads(capsys.readouterr().out)["dataset"])
    assert found == TREES[section]
