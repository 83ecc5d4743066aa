"""Pictures of a test: what the run keeps, which queries are chosen, what is drawn."""

import csv
import json
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
from sketchclip.plots.tiles import GREY, HIT, PAIRED, fonts, wrapped
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


def test_quantiles_are_the_middles_of_equal_parts_of_all_queries():
    rng = np.random.default_rng(0)
    gain = rng.normal(size=80)
    base = rng.random(80)
    each = [str(i) for i in range(80)]
    best_first = np.argsort(-gain)
    assert choose([base + gain, base], each, "quantiles", 8, 0) == [*best_first[4::10]]
    assert choose([gain], each, "quantiles", 4, 0) == [*best_first[9::20]]
    # Queries without a score are in no part, and no class is there twice.
    holes = np.append(gain, [np.nan] * 20)
    classes = [str(i // 5) for i in range(100)]
    chosen = choose([holes], classes, "quantiles", 8, 0)
    assert len({classes[i] for i in chosen}) == 8
    assert not np.isnan(holes[chosen]).any()
    assert [*holes[chosen]] == sorted(holes[chosen], reverse=True)
    for at, part in zip(chosen, range(8), strict=True):
        assert abs([*best_first].index(at) - (10 * part + 4.5)) < 10
    assert sorted(choose([gain[:3]], each, "quantiles", 8, 0)) == [0, 1, 2]


@pytest.mark.parametrize("paired", [True, False], ids=["instances", "classes"])
def test_the_mean_above_is_that_of_the_test(paired, run, monkeypatch):
    monkeypatch.setattr(SketchPhotoFolder, "protocol", Protocol(instances=paired))
    folder = Path(run("test", method="FrozenCLIP").trainer.log_dir)
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    given = {}
    monkeypatch.setattr(
        "sketchclip.plots.examples.retrieval_grid", lambda *parts: given.update(enumerate(parts))
    )
    picture(folder, pick="quantiles", count=2)
    metric = "Acc@1" if paired else "mAP@all"
    assert given[3] == f"{metric} {metrics[metric]:.3f} over all sketches."
    assert ("Double frame" in given[2][1]) == paired


def test_two_models_have_their_means_above_and_gains_beside_them(run, tmp_path, monkeypatch):
    folder = Path(run("test", method="FrozenCLIP").trainer.log_dir)
    with (folder / "queries.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    column = header.index("mAP@all")
    before = [float(row[column]) for row in rows]
    gains = [-0.25, -0.125, 0.0, 0.0, 0.125, 0.0]
    for row, value, gain in zip(rows, before, gains, strict=True):
        row[column] = str(value + gain)
    after = shutil.copytree(folder, tmp_path / "after")
    with (after / "queries.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    drawn = {}
    monkeypatch.setattr(
        "sketchclip.plots.examples.retrieval_grid", lambda *given: drawn.update(enumerate(given))
    )
    picture(after, folder, "quantiles", 6, labels=("New", "Old"), note="More.")
    title, lines, footer, means = (drawn[i] for i in range(4))
    assert "6 sketches of 2 unseen classes, 8 photos" in title
    old, new = np.mean(before), np.mean(before) + np.mean(gains)
    assert f"Old {old:.3f}, New {new:.3f} ({new - old:+.3f})" in means
    assert "17 % of the sketches gain, 33 % lose" in means
    assert "cut into 6 equal parts" in footer[0]
    assert footer[-1] == "More."
    seen = []
    for query, class_name, (first, second) in lines:
        assert (first.label, second.label) == ("Old", "New")
        assert query.parent.name == class_name  # the words, without an underscore
        seen.append(second.note.partition("(")[2])
        assert first.note in {f"AP {value:.2f}" for value in before}
    assert seen == ["+0.12)", "±0.00)", "±0.00)", "±0.00)", "-0.12)", "-0.25)"]


def test_long_texts_are_broken_within_the_picture():
    font = fonts()[0]
    text = "Queries sampled at random, " * 9 + "x" * 300
    lines = wrapped(text, font, 400)
    assert max(font.getlength(line) for line in lines) <= 400
    assert " ".join(lines[:-1]) == text.rpartition(" ")[0]
    assert lines[-1].endswith("…")
    assert wrapped("", font, 400) == []


def test_a_baseline_is_drawn_above_and_data_may_have_moved(tested, tree, tmp_path, capsys):
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
