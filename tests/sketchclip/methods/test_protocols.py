"""Tests on other data than the training's, and generalised ones, by command and in Python."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from data_modules import SketchPhotoFolder
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.methods.trained_on import UNKNOWN
from tests.helpers.toys import BatchNormMethod
from tests.sketchclip.methods.test_ddp import command as new_process

BY_MODEL = ("--data.split", "unseen_by_model")
BOTH = ("--data.generalized", "0.5", "--data.generalized_queries", "both")


@pytest.fixture
def trained(run):
    cli = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0")
    return Path(cli.trainer.log_dir), cli.datamodule


def results(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def other(make_tree, tmp_path):
    """Eight classes: six named as in the training's data, in another way, two that it lacks."""
    root = make_tree(tmp_path / "other", sketches=2, photos=3)
    for side in ("sketch", "photo"):
        for number, path in enumerate(sorted((root / side).iterdir())):
            name = path.name.title().replace(" ", "-") + "s"
            path.rename(path.with_name(name if number < 6 else f"new {path.name}"))
    return root


def test_all_classes_of_other_data_that_the_model_has_not_seen(trained, other, capsys):
    folder, data = trained
    capsys.readouterr()
    cli = main(["test", "--ckpt_path", str(folder), "--data.root", str(other), *BY_MODEL])
    printed, found = capsys.readouterr().out, results(folder / "test")
    names = sorted(path.name.lower().replace("-", "_") for path in (other / "photo").iterdir())
    names = [name.replace(" ", "_") for name in names]
    singular = {name.removesuffix("s"): name for name in names}
    removed = {singular[name]: name for name in data.class_names if name in singular}
    assert len(removed) >= 2
    assert found["removed_classes"] == removed
    assert found["unseen_classes"] == sorted({*names} - {*removed})
    assert found["queries"] == 2 * len(found["unseen_classes"])
    assert found["gallery"] == 3 * len(found["unseen_classes"])
    assert (found["trained_classes"], found["training_classes"]) == ([], 4)
    assert found["cross_dataset"]
    assert "NOT ZERO-SHOT" not in found["protocol"]
    assert (
        "cross-dataset: trained on SketchPhotoFolder (split random:2:0, 4 classes), tested on "
        f"SketchPhotoFolder, on all its {len(names) - len(removed)} classes that are not among "
        f"these; {len(removed)} removed" in found["protocol"]
    )
    assert all(f"{name} (there {known})" in printed for name, known in removed.items())
    assert cli.datamodule.catalogue.test_classes == found["unseen_classes"]


@pytest.mark.slow
def test_another_data_module_starts_from_its_own_settings(trained, tmp_path):
    folder, _ = trained
    cli = main(
        ["test", "--ckpt_path", str(folder), "--data", "Doodles", *BY_MODEL,
         "--trainer.limit_test_batches", "1"]
    )  # fmt: skip
    chosen = cli.datamodule.hparams
    assert (chosen["root"], chosen["split"]) == (None, "unseen_by_model")
    assert len(cli.datamodule.catalogue.test_classes) == 234
    assert results(folder / "test")["cross_dataset"]
    assert results(folder / "test")["partial"]
    # What is typed counts, also before the name of the dataset.
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path", str(folder), "--data.root", "nowhere", "--data", "Sketchy"])


def test_a_model_that_trained_on_nothing_is_tested_on_everything(run):
    cli = run("test", *BY_MODEL, method="FrozenCLIP")
    assert len(cli.datamodule.catalogue.test_classes) == 8
    found = results(Path(cli.trainer.log_dir))
    assert "trained on no class" in found["protocol"]
    assert (found["removed_classes"], found["training_data"]) == ({}, [])


@pytest.mark.parametrize("command", ["fit", "validate"])
def test_only_a_test_is_decided_by_the_model(run, trained, command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--ckpt_path", str(trained[0]), *BY_MODEL, "--trainer.max_epochs", "9"])
    assert stop.value.code == 2
    assert "is for 'sketchclip test' and 'predict'" in capsys.readouterr().err


def test_too_few_classes_are_left(trained, make_tree, tmp_path, capsys):
    folder, data = trained
    small = make_tree(tmp_path / "small", sketches=1, photos=1)
    kept = {*data.class_names[:3], data.catalogue.split.unseen[0]}
    for path in small.glob("*/*"):
        if path.name.replace(" ", "_") not in kept:
            shutil.rmtree(path)
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path", str(folder), "--data.root", str(small), *BY_MODEL])
    assert "trained on 3 of the 4 classes" in capsys.readouterr().err


# From Python: the same, without a command line


def trainer(folder, **settings):
    settings = {"max_epochs": 1, "limit_val_batches": 0, **settings}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(accelerator="cpu", default_root_dir=folder, **settings, **quiet)


def folder_data(root, split="random:2:0", **settings):
    return SketchPhotoFolder(str(root), split=split, num_workers=0, batch_size=4, **settings)


def test_in_python_with_the_model_or_its_checkpoint(tree, tmp_path):
    model, data = BatchNormMethod(), folder_data(tree)
    first = trainer(tmp_path)
    first.fit(model, datamodule=data)
    everything = folder_data(tree, "unseen_by_model")
    (metrics, _) = trainer(tmp_path).test(model, datamodule=everything, verbose=False)
    assert everything.catalogue.test_classes == sorted(
        {*everything.catalogue.files.listing[0]} - {*data.class_names}
    )
    path = tmp_path / "model.ckpt"
    first.save_checkpoint(path)
    again, loaded = folder_data(tree, "unseen_by_model"), BatchNormMethod()
    (same, _) = trainer(tmp_path).test(loaded, datamodule=again, ckpt_path=path, verbose=False)
    assert same == metrics
    assert loaded.training_data == model.training_data
    assert loaded.training_data[0]["classes"] == len(data.class_names)
    # The next model of the same data module is measured on its own classes.
    trainer(tmp_path).test(BatchNormMethod(), datamodule=again, verbose=False)
    assert len(again.catalogue.test_classes) == 8

    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["training_classes"]
    torch.save(checkpoint, path)
    with pytest.raises(SketchClipError, match="does not say which classes it was trained on"):
        trainer(tmp_path).test(BatchNormMethod(), datamodule=data, ckpt_path=path, verbose=False)
    torch.save({**checkpoint, "training_classes": []}, path)
    with pytest.raises(SketchClipError, match=r"nobody knows which are unseen.*text file"):
        trainer(tmp_path).test(BatchNormMethod(), datamodule=again, ckpt_path=path, verbose=False)


def test_loaders_that_do_not_tell_their_classes(tree, tmp_path):
    model, data = BatchNormMethod(), folder_data(tree)
    loader = data.train_dataloader()
    batches = [data.normalize(batch) for batch in loader]
    trainer(tmp_path).fit(model, torch.utils.data.DataLoader(batches, batch_size=None))
    assert model.training_data == [UNKNOWN]
    again = folder_data(tree, "unseen_by_model")
    with pytest.raises(SketchClipError, match="did not tell its classes"):
        trainer(tmp_path).test(model, datamodule=again, verbose=False)


# Generalised


@pytest.mark.slow
def test_a_generalised_test_measures_both_kinds_and_says_what_was_held_out(run, trained, capsys):
    honest = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0", *BOTH)
    folder = Path(honest.trainer.log_dir)
    capsys.readouterr()
    main(["test", "--ckpt_path", str(folder)])
    printed, found = capsys.readouterr().out, results(folder / "test")
    assert found["held_out"]
    assert "HELD OUT" not in found["protocol"]
    assert found["trained_classes"] == []  # seen queries are of trained classes on purpose
    assert "H, harmonic mean" in printed
    # Two unseen classes with 3 sketches, four trained ones with half of theirs; half of 4 photos.
    assert (found["queries"], found["seen_queries"]) == (2 * 3 + 4 * 2, 4 * 2)
    assert found["gallery"] == 2 * 4 + 6 * 2
    metrics = found["metrics"]
    u, s = metrics["mAP@all"], metrics["seen_mAP@all"]
    assert metrics["H_mAP@all"] == pytest.approx(2 * u * s / (u + s))
    assert {"seen_mAP@all", "H_mAP@all"} <= found["interval_95"].keys()
    assert set(found["classes"]) == {*found["unseen_classes"], *honest.datamodule.class_names}
    # The same test of a model that trained on these files, and a smaller part of an honest one.
    main(["test", "--ckpt_path", str(trained[0]), *BOTH])
    marked = results(trained[0] / "test")
    assert not marked["held_out"]
    assert "NOT HELD OUT: the model was trained without these settings" in marked["protocol"]
    main(["test", "--ckpt_path", str(folder), "--data.generalized", "0.3"])
    assert results(folder / "test_2")["held_out"]
    main(["test", "--ckpt_path", str(folder), "--data.subset_seed", "1"])
    assert not results(folder / "test_3")["held_out"]
    main(["test", "--ckpt_path", str(folder), "--data.validation", "none"])
    assert "2 of the 6 seen classes were not trained on" in results(folder / "test_4")["protocol"]


def test_tables_keep_protocols_apart(run, trained, other, tmp_path, capsys):
    folder, _ = trained
    main(["test", "--ckpt_path", str(folder)])
    main(["test", "--ckpt_path", str(folder), "--data.root", str(other), *BY_MODEL])
    main(["test", "--ckpt_path", str(folder), *BOTH])
    main(["test", "--ckpt_path", str(folder), *BOTH[:2]])
    tables = main(["table", str(tmp_path / "runs")])
    by_title = {table.title.partition(":")[0]: [] for table in tables}
    for table in tables:
        by_title[table.title.partition(":")[0]].append(table)
    assert {title: len(found) for title, found in by_title.items()} == {
        "Runs": 1,
        "Cross-dataset": 1,
        "Generalised": 2,
    }
    (cross,) = by_title["Cross-dataset"]
    assert "trained on SketchPhotoFolder" in cross.caption
    assert "removed" in cross.caption
    heads = [{*table.columns} for table in by_title["Generalised"]]
    assert {"unseen mAP@all", "seen mAP@all", "H mAP@all"} in [h & {
        "unseen mAP@all", "seen mAP@all", "H mAP@all", "mAP@all"} for h in heads]  # fmt: skip
    assert sum("mAP@all" in h for h in heads) == 1


# Several processes


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_measure_what_one_does(make_tree, tmp_path):
    data = make_tree(tmp_path / "data", classes=7, sketches=5, photos=3)
    shared = [
        *("--model", "ZeroShotPromptLearning", "--model.backbone", "sketchclip-mini"),
        *("--data", "SketchPhotoFolder", "--data.root", str(data), "--data.num_workers", "0"),
        *("--data.batch_size", "8", "--trainer.accelerator", "cpu", "--trainer.logger", "csv"),
        *("--trainer.logger.save_dir", str(tmp_path / "runs")),
    ]
    short = ("--trainer.max_epochs", "1", "--grids.queries", "0", "--data.validation", "none")
    fitted = main(["fit", *shared, *short, "--data.split", "random:3:0", *BOTH])
    folder = Path(fitted.trainer.log_dir)
    shared += ["--ckpt_path", str(folder / "checkpoints" / "last.ckpt"), *short[4:]]
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    for protocol in (BY_MODEL, ("--data.split", "random:3:0", *BOTH)):
        main(["test", *shared, *protocol])
        new_process("test", *shared, *protocol, *two)
    found = [results(folder / name) for name in ("test", "test_2", "test_3", "test_4")]
    for one, other in (found[:2], found[2:]):
        assert one["metrics"] == pytest.approx(other["metrics"], abs=1e-5)
        for entry in ("protocol", "queries", "gallery", "unseen_classes", "training_data"):
            assert one[entry] == other[entry]
    assert len(found[0]["removed_classes"]) == 4
    assert found[2]["seen_queries"] == 4 * 2
