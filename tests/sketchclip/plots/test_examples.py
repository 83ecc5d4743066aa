"""Pictures of a test: what the run keeps, which queries are chosen, what is drawn."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import SketchPhotoFolder
from data_modules.batch import Protocol
from sketchclip.cli import main
from sketchclip.plots.choice import choose
from sketchclip.plots.examples import picture
from sketchclip.plots.retrieval_grid import GREY, HIT, PAIRED
from sketchclip.runs.rankings import read_rankings


@pytest.fixture
def tested(run, monkeypatch):
    """Test of the frozen model on data whose sketches show one photo each."""
    monkeypatch.setattr(SketchPhotoFolder, "protocol", Protocol(instances=True))
    return Path(run("test", method="FrozenCLIP").trainer.log_dir)


def has(image, colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.asarray(image) == rgb).all(-1).sum() > 200)  # more than the edges of letters


def test_a_test_keeps_the_first_photos_and_a_picture(tested, tree):
    kept = read_rankings(tested)
    with (tested / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert kept.shown.shape == (6, 8)  # the gallery has no ten photos
    assert kept.root == tree.resolve()
    for row, shown, hits, own in zip(rows, kept.shown, kept.hit, kept.own, strict=True):
        photos = [str(kept.path[i]) for i in shown]
        assert all((tree / photo).is_file() for photo in photos)
        assert hits.tolist() == [
            photo.split("/")[1].replace(" ", "_") == row["class"] for photo in photos
        ]
        assert int(float(row["rank_first"])) == 1 + hits.argmax()
        assert int(float(row["rank_all"])) == 1 + shown.tolist().index(own)
    with Image.open(tested / "grid.png") as image:
        assert has(image, HIT)
        assert has(image, PAIRED)
        assert not has(image, GREY)


def test_queries_are_chosen_by_score_and_classes_are_spread():
    ours, base = np.array([0.9, 0.8, 0.1, 0.5]), np.array([0.8, 0.1, 0.1, 0.9])
    classes = ["cat", "cat", "dog", "owl"]
    assert choose([ours, base], classes, "best", 4, 0) == [0, 3, 2, 1]
    assert choose([ours, base], classes, "worst", 1, 0) == [2]
    assert choose([ours, base], classes, "most_improved", 2, 0) == [1, 2]
    drawn = {tuple(choose([ours], classes, "random", 4, seed)) for seed in range(9)}
    assert len(drawn) > 1


def test_a_baseline_is_drawn_below_and_data_may_have_moved(tested, tree, tmp_path, capsys):
    alone = np.asarray(picture(tested, count=2))
    moved = shutil.copytree(tree, tmp_path / "moved")
    out = tmp_path / "new" / "grid.png"
    args = ["show", tested, "--baseline", tested, "--pick", "most_improved", "-n", 2, "-o", out]
    main([*map(str, args), "--root", str(moved), "--labels", "Ours,Frozen"])
    with Image.open(out) as image:
        assert image.height > alone.shape[0]
        assert not has(image, GREY)


def test_missing_and_damaged_images_are_grey_tiles(tested, tree, tmp_path):
    broken = shutil.copytree(tree, tmp_path / "broken")
    for number, path in enumerate(sorted(broken.rglob("*.png"))):
        path.unlink() if number % 2 else path.write_bytes(b"no image")
    assert has(picture(tested, root=broken), GREY)


BAD = {
    "no results": (["nowhere"], "holds no results"),
    "no baseline": (["RUN", "--pick", "most_improved"], "--baseline"),
    "too few names": (["RUN", "--labels", "a,b"], "expected 1 names"),
    "no query": (["RUN", "-n", "0"], "expected at least 1"),
    "no picture format": (["RUN", "-o", "grid.xyz"], "Cannot write"),
    "run without rankings": (["OLD"], "repeat the test"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(case, tested, tmp_path, capsys):
    old = shutil.copytree(tested, tmp_path / "old")
    (old / "rankings.npz").unlink()
    args, message = BAD[case]
    places = {"RUN": str(tested), "OLD": str(old), "grid.xyz": str(tmp_path / "grid.xyz")}
    with pytest.raises(SystemExit) as stopped:
        main(["show", *(places.get(arg, arg) for arg in args)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
