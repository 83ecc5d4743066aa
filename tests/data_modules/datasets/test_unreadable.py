"""Files that cannot be read: stop with one message, or go on and say so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_modules import SketchPhotoFolder
from data_modules.datasets.unreadable import UnreadableFiles


@pytest.fixture
def damaged(tree, tmp_path):
    """A copy of the tree, and a function that empties files of it."""
    root = tmp_path / "data"
    shutil.copytree(tree, root)

    def damage(*patterns: str) -> list[str]:
        paths = [path for pattern in patterns for path in sorted(root.glob(pattern))]
        assert paths
        for path in paths:
            path.write_bytes(b"no image")
        return [str(path) for path in paths]

    damage.root = root
    damage.options = ["--data.root", str(root), "--data.on_error", "skip"]
    return damage


@pytest.mark.parametrize("workers", ["0", "2"])
def test_training_goes_on_and_lists_what_it_skipped(damaged, run, capsys, workers):
    data = SketchPhotoFolder(root=str(damaged.root), split="random:2:0")
    names = [data.catalogue.training[1][c][0].parent.name for c in data.class_names]
    broken = damaged(f"sketch/{names[0]}/0.png", *(f"photo/{n}/[1-3].png" for n in names))
    extra = ["--data.num_workers", workers, "--trainer.max_epochs", "8"]
    with pytest.warns(UserWarning, match="could not be read") as warned:
        cli = run("fit", *damaged.options, *extra)
    told = [str(w.message) for w in warned if "could not be read" in str(w.message)]
    assert len(told) == 1
    assert f"{len(broken)} files" in told[0]
    skipped = Path(cli.trainer.log_dir) / "skipped.txt"
    assert skipped.read_text().splitlines() == sorted(broken)
    assert str(skipped) in told[0]
    assert all(path in told[0] for path in broken)


def test_a_long_list_is_cut_in_the_warning(damaged, tmp_path):
    files = UnreadableFiles()
    files.add("training", [f"/x/{n:03d}.png" for n in range(1025)])
    with pytest.warns(UserWarning, match="1,025 files") as warned:
        files.report(str(tmp_path))
    message = str(warned[0].message)
    assert message.count(".png") == 20
    assert "and 1,005 more" in message
    assert len((tmp_path / "skipped.txt").read_text().splitlines()) == 1025
    files.report(str(tmp_path))  # forgotten: no second warning


def test_a_test_leaves_unreadable_images_out_and_says_so(damaged, run, capsys):
    whole = run("test", "--data.root", damaged.root)
    unseen = whole.datamodule.catalogue.gallery(whole.datamodule.catalogue.test_classes)
    names = [paths[0].parent.name for paths in unseen.values()]
    broken = damaged(f"photo/{names[0]}/2.png", f"sketch/{names[1]}/1.png")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run("test", "--data.root", damaged.root)
    assert "Cannot read image" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="1 photo left out.*, 1 sketch left out"):
        cli = run("test", *damaged.options)
    result = json.loads((Path(cli.trainer.log_dir) / "metrics.json").read_text())
    stated = "; queries: 5 of 6 sketches; gallery: 7 of 8 photos could be read"
    assert result["protocol"].endswith(stated)
    assert (result["queries"], result["gallery"], result["partial"]) == (5, 7, True)
    assert stated in " ".join(capsys.readouterr().out.split())
    # The figures are those of a tree without these files.
    for path in broken:
        Path(path).unlink()
    clean = run("test", "--data.root", damaged.root)
    expected = json.loads((Path(clean.trainer.log_dir) / "metrics.json").read_text())
    assert result["metrics"] == pytest.approx(expected["metrics"])
    assert expected["partial"] is False


def test_queries_of_a_class_whose_photos_are_all_gone_are_left_out(damaged, run):
    data = SketchPhotoFolder(root=str(damaged.root), split="random:2:0")
    damaged(
        f"photo/{next(iter(data.catalogue.gallery(data.catalogue.test_classes).values()))[0].parent.name}/*"
    )
    with pytest.warns(UserWarning, match="4 photo left out"):
        cli = run("test", *damaged.options)
    assert cli.trainer.callback_metrics["test/mAP@all"] == 1.0  # one class is left
    with pytest.warns(UserWarning, match="4 photo left out"):
        cli = run("predict", *damaged.options)
    folder = Path(cli.trainer.log_dir) / "embeddings"
    with np.load(folder / "photo.npz") as photos, np.load(folder / "sketch.npz") as sketches:
        assert (len(photos["path"]), len(sketches["path"])) == (4, 6)
        assert (photos["index"] >= 0).all()
        assert len(photos["state"]) == 4


def test_an_error_in_a_worker_is_one_message(damaged, run, capfd):
    broken = damaged("photo/*/*.png")
    with pytest.raises(SystemExit):
        run("fit", "--data.root", damaged.root, "--data.num_workers", "1")
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert any(f"sketchclip: error: Cannot read image {path} " in message for path in broken)


def test_reports_say_what_trains_and_what_was_left_out(run, capsys, tree):
    part = ["--data.train_fraction", "0.5", "--data.seen_classes", "3"]
    run("fit", "--trainer.max_epochs", "1", *part)
    out = capsys.readouterr().out
    assert "6 sketches, 6 photos (train_fraction=0.5, seen_classes=3, subset_seed=0)" in out
    cli = run("test", *part)
    result = json.loads((Path(cli.trainer.log_dir) / "metrics.json").read_text())
    assert result["train_fraction"] == 0.5
    assert result["seen_classes"] == 3
    assert "generalized" not in result
    assert result["protocol"] == cli.datamodule.catalogue.protocol_name
    cli = run("test", "--data.generalized", "0.5")
    result = json.loads((Path(cli.trainer.log_dir) / "metrics.json").read_text())
    assert (result["generalized"], result["queries"], result["gallery"]) == (0.5, 6, 8 + 6 * 2)
