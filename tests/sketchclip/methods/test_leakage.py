"""Classes that a model was trained on are not measured as unseen ones, unless somebody says so."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from data_modules.listing.same_thing import same_classes
from sketchclip.cli import main


@pytest.fixture
def trained(run):
    cli = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0")
    return Path(cli.trainer.log_dir), cli.datamodule


def unseen_file(folder: Path, names: list[str]) -> str:
    path = folder / "unseen.txt"
    path.write_text("".join(f"{name}\n" for name in names))
    return str(path)


def test_a_checkpoint_says_what_it_was_trained_on(trained):
    folder, data = trained
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["training_classes"] == sorted(data.class_names)
    assert len(data.class_names) == 4  # of 8: 2 validate, 2 are unseen


@pytest.mark.parametrize("command", ["test", "fit"])
def test_a_checkpoint_that_does_not_say_it_is_refused(command, trained, capsys):
    path = trained[0] / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["training_classes"]
    torch.save(checkpoint, path)
    with pytest.raises(SystemExit) as stop:
        main([command, "--ckpt_path", str(trained[0])])
    assert stop.value.code == 2
    assert "no checkpoint of sketchclip" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["test", "predict", "fit"])
def test_an_overlap_stops_with_the_names(command, trained, tmp_path, capsys):
    folder, data = trained
    overlap = [data.class_names[0].replace("_", " ").upper(), data.class_names[1]]
    split = unseen_file(tmp_path, [*overlap, data.catalogue.split.unseen[0]])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([command, "--ckpt_path", str(folder), "--data.split", split,
              "--trainer.max_epochs", "2"])  # fmt: skip
    assert stop.value.code == 2
    message = capsys.readouterr().err
    named = re.search(r"classes to measure on .* trained on: ([\w, ]+)\.", message)[1].split(", ")
    assert {*named} >= {*data.class_names[:2]}  # a resumed run has other validation classes, too
    assert data.catalogue.split.unseen[0] not in named
    assert "--data.split=unseen_by_model" in message
    assert "--data.allow_trained_classes" in message


def test_validation_classes_count_as_well(trained, capsys):
    folder, _ = trained
    with pytest.raises(SystemExit):
        main(["validate", "--ckpt_path", str(folder), "--data.val_fraction", "0.5"])
    assert "trained on: " in capsys.readouterr().err


def test_by_a_flag_it_is_measured_and_marked(trained, tmp_path, capsys):
    folder, data = trained
    split = unseen_file(tmp_path, [data.class_names[0], data.catalogue.split.unseen[0]])
    allow = ("--data.allow_trained_classes", "true")
    main(["test", "--ckpt_path", str(folder), "--data.split", split, *allow])
    assert "NOT ZERO-SHOT: 1 of the unseen classes" in capsys.readouterr().out
    marked = json.loads((folder / "test" / "metrics.json").read_text())
    assert marked["trained_classes"] == data.class_names[:1]
    assert "NOT ZERO-SHOT" in marked["protocol"]
    # The same numbers without the mark share no table with them.
    honest = tmp_path / "runs" / "experiment" / "version_9"
    shutil.copytree(folder, honest)
    clean = {**marked, "trained_classes": []}
    clean["protocol"] = marked["protocol"].partition("; NOT ZERO-SHOT")[0]
    (honest / "test" / "metrics.json").write_text(json.dumps(clean))
    main(["table", str(tmp_path / "runs"), "-o", str(tmp_path / "tables")])
    tables = [path.read_text() for path in (tmp_path / "tables").glob("*.md")]
    assert sum("NOT ZERO-SHOT" in table for table in tables) == 1
    assert len(tables) == 2


def test_an_export_says_it_too(trained, tmp_path, capsys):
    folder, data = trained
    main(["export", str(folder), "--to", str(tmp_path / "exported")])
    split = unseen_file(tmp_path, [*data.class_names[:1], data.catalogue.split.unseen[0]])
    config = str(folder / "config.yaml")
    with pytest.raises(SystemExit):
        main(["test", "--config", config, "--ckpt_path", str(tmp_path / "exported"),
              "--data.split", split])  # fmt: skip
    assert f"trained on: {data.class_names[0]}" in capsys.readouterr().err


def test_other_data_without_a_common_class_is_tested(trained, make_tree, tmp_path):
    folder, _ = trained
    other = make_tree(tmp_path / "other", classes=4, sketches=1, photos=1)
    for side in ("sketch", "photo"):
        for path in sorted((other / side).iterdir()):
            path.rename(path.with_name(f"other {path.name}"))
    cli = main(["test", "--ckpt_path", str(folder), "--data.root", str(other),
                "--data.split", "random:2:0"])  # fmt: skip
    assert "test/mAP@all" in cli.trainer.callback_metrics


def test_spellings_of_a_class_are_one():
    found = same_classes(["hot_air_balloon"], ["Hot-Air Balloon"])
    assert found == {"hot_air_balloon": "Hot-Air Balloon"}
    assert same_classes(["c"], ["c++"]) == {}
