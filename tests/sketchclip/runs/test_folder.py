"""Run folders: what is in them, the last one, checkpoints by name, results beside them."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from data_modules.listing.listing_hash import listing_hash
from sketchclip.checkpoint import write_safetensors
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.loggers import RunFiles
from sketchclip.pretrained.find import find_checkpoint
from sketchclip.runs.folder import RunFolder, last_run, link_last
from sketchclip.runs.reading import find_runs

FAST = ("--trainer.max_epochs", "1", "--grids.queries", "0")


def folder(cli) -> Path:
    return Path(cli.trainer.log_dir)


@pytest.fixture
def fitted(run, tmp_path, monkeypatch):
    """A run under runs/ of the current folder, as the commands of the README leave it."""
    monkeypatch.chdir(tmp_path)
    return run("fit", *FAST, "--trainer.logger.save_dir", "runs", "--trainer.logger.name", "x")


def test_a_run_says_what_it_ran_on(run, tree, capsys):
    cli = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "2", "--grids.depth", "3")
    where = json.loads((folder(cli) / "environment.json").read_text())
    assert where["command"].startswith("sketchclip fit --model ZeroShotPromptLearning")
    assert where["stage"] == "fit"
    assert where["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert where["precision"] == "32-true"
    sketches = where["data"]["training sketches"]
    assert (sketches["classes"], sketches["files"]) == (4, 12)
    assert sketches == listing_hash(cli.datamodule.catalogue.training[0], tree)
    with Image.open(folder(cli) / "grids" / "epoch_001.png") as picture:
        assert picture.width > 3 * 84
    printed = capsys.readouterr().out
    for part in (
        "960 of 1,629,601 parameters train",
        "12 sketches, 16 photos",
        "6 sketches, 8 photos",
        "full gallery",
        "precision 32-true",
        "epoch 1/1  loss",
        "validation mAP@all 0.",
        f"best  {folder(cli)}/checkpoints/best.ckpt (val/mAP@all",
        f"sketchclip test --ckpt_path {folder(cli)}",
    ):
        assert part in printed, part
    assert "\r" not in printed
    assert "\x1b" not in printed
    cost = json.loads((folder(cli) / "cost.json").read_text())
    assert (cost["trainable_parameters"], cost["parameters"]) == (960, 1_629_601)
    assert cost["images"] == 3 * 12  # triplets of each sketch
    assert 0 < cost["seconds"] < 60
    assert cost["images_per_second"] == pytest.approx(36 / cost["seconds"])
    assert 50e6 < cost["peak_memory_bytes"] < 50e9


def test_the_listing_hash_sees_names_and_sizes(tmp_path):
    for copy in ("a", "b"):
        (tmp_path / copy / "cat").mkdir(parents=True)
        (tmp_path / copy / "cat" / "1.png").write_bytes(b"12")
        (tmp_path / copy / "cat.ndjson").write_text("{}\n{}\n")

    def of(copy: str, *names: str) -> str:
        root = tmp_path / copy
        return listing_hash({"cat": [root / name for name in names]}, root)["listing_hash"]

    assert of("a", "cat/1.png") == of("b", "cat/1.png")
    assert of("a", "cat.ndjson#0") == of("b", "cat.ndjson#0") != of("a", "cat.ndjson#1")
    before = of("b", "cat/1.png")
    (tmp_path / "b" / "cat" / "1.png").write_bytes(b"123")
    assert of("b", "cat/1.png") != before
    (tmp_path / "b" / "cat" / "1.png").rename(tmp_path / "b" / "cat" / "2.png")
    assert of("b", "cat/2.png") != of("b", "cat/1.png")


def test_a_second_run_has_the_next_folder_and_last_follows(run, fitted):
    assert Path("runs/x/last").resolve() == folder(fitted).resolve()
    again = main(["fit", "--config", "runs/x/last/config.yaml"])
    assert folder(again) == Path("runs/x/version_1")
    assert Path("runs/x/last").resolve() == folder(again).resolve()
    assert last_run(Path("runs")) == folder(again)
    named = run("fit", *FAST, "--trainer.logger.name=", "--trainer.logger.version=cell")
    assert not (folder(named).parent / "last").exists()


def _make_runs(root, start, made):
    start.wait()
    made.put([RunFiles(str(root), "x").log_dir for _ in range(20)])


def test_runs_that_start_at_the_same_instant_have_folders_of_their_own(tmp_path):
    context = multiprocessing.get_context("fork")
    start, made = context.Barrier(2), context.Queue()
    arguments = (tmp_path, start, made)
    processes = [context.Process(target=_make_runs, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    folders = made.get(timeout=60) + made.get(timeout=60)
    for process in processes:
        process.join()
    assert {Path(name).name for name in folders} == {f"version_{n}" for n in range(40)}


def test_a_command_that_stops_early_leaves_no_folder(run, tmp_path):
    with pytest.raises(SystemExit):
        run("fit", *FAST, "--data.root", "nowhere")
    assert not [*tmp_path.rglob("version_*")]


def test_last_is_a_text_file_where_links_are_impossible(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refused)
    for number in (0, 1):
        run = tmp_path / "x" / f"version_{number}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.ckpt").touch()
        os.utime(run / "checkpoints" / "last.ckpt", (number, number))
        link_last(run)
    assert (tmp_path / "x" / "last").read_text() == "version_1\n"
    expected = str(tmp_path / "x" / "version_1" / "checkpoints" / "last.ckpt")
    assert find_checkpoint(str(tmp_path / "x" / "last")) == expected
    assert find_checkpoint("last", tmp_path) == expected


def test_test_without_arguments_tests_the_last_run(fitted, capsys):
    results = [main(["test"]), main(["test", "--ckpt_path", "best"]), main(["validate"])]
    assert [folder(cli).name for cli in results] == ["test", "test_2", "validate"]
    assert all(folder(cli).parent.resolve() == folder(fitted).resolve() for cli in results)
    assert "runs/x/version_0/checkpoints/last.ckpt with the settings of" in capsys.readouterr().out
    names = ["last.ckpt", "best.ckpt"]
    for cli, name in zip(results, names, strict=False):
        result = json.loads((folder(cli) / "metrics.json").read_text())
        assert Path(result["checkpoint"]).name == name
        assert (folder(cli) / "environment.json").is_file()


def test_results_beside_a_checkpoint_only_inside_the_users_folder(fitted, run, tmp_path):
    checkpoint = str(folder(fitted) / "checkpoints" / "last.ckpt")
    decide = RunFolder.for_command
    assert decide("test", "runs", "x", checkpoint, "Ours") == RunFolder(folder(fitted), "test")
    elsewhere = str(tmp_path / "elsewhere")
    there = RunFolder(tmp_path / "elsewhere" / "x", "Ours")
    assert decide("test", elsewhere, "x", checkpoint, "Ours") == there
    assert decide("test", "runs", "x", None, "Ours") == RunFolder(Path("runs/x"), "Ours")
    assert decide("fit", "runs", "x", checkpoint, "Ours") == RunFolder(Path("runs/x"))
    other = run("test", "--ckpt_path", checkpoint, "--trainer.logger.version", "mine", *FAST[2:])
    assert folder(other).name == "mine"


def test_versions_are_trainings_whatever_was_tested_before(run):
    tests = [folder(run("test", method="FrozenCLIP")) for _ in range(2)]
    assert [path.name for path in tests] == ["FrozenCLIP", "FrozenCLIP_2"]
    trained = folder(run("fit", *FAST))
    assert trained.name == "version_0"
    assert (trained.parent / "last").resolve() == trained.resolve()
    runs, left_out = find_runs([trained.parent])
    names = ["FrozenCLIP", "FrozenCLIP_2", "version_0"]
    assert [each.name for each in runs] == [f"{trained.parent.name}_{name}" for name in names]
    assert not left_out


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_folder_is_decided_once(command, fitted, run, monkeypatch):
    calls = {"decided": 0, "made": 0}
    decide, make = RunFolder.for_command, RunFolder.make

    def count_decisions(*args):
        calls["decided"] += 1
        return decide(*args)

    def count_folders(self):
        calls["made"] += 1
        return make(self)

    monkeypatch.setattr(RunFolder, "for_command", count_decisions)
    monkeypatch.setattr(RunFolder, "make", count_folders)
    checkpoint = str(folder(fitted) / "checkpoints" / "last.ckpt")
    read = [] if command == "fit" else ["--ckpt_path", checkpoint]
    run(command, *FAST[2 * (command == "test") :], *read)
    assert calls == {"decided": 1, "made": 1}


@pytest.mark.parametrize(
    "flags",
    [
        ["--model.patches", "900", "--data.validation", "none"],
        ["--trainer.precision", "bf16-true"],
        ["--data.batch_size", "7"],
        ["--data.split", "random:90:0"],
    ],
    ids=["method", "precision", "batch", "split"],
)
def test_a_setting_that_cannot_be_leaves_no_folder(flags, run, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run("fit", *flags, method="FineGrainedPromptLearning")
    assert stopped.value.code == 2
    assert not (tmp_path / "runs").exists()


def test_no_run_and_no_best_are_said(tmp_path, monkeypatch, capsys, run):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["test"])
    assert stopped.value.code == 2
    assert "No run with a checkpoint under runs" in capsys.readouterr().err
    # Without validation nothing is best, and training goes through.
    cli = run("fit", *FAST, "--data.validation", "none", "--trainer.logger.save_dir", "runs")
    assert not (folder(cli) / "checkpoints" / "best.ckpt").exists()
    with pytest.raises(SketchClipError, match=r"no checkpoints/best\.ckpt.*validation"):
        find_checkpoint("best", cli.trainer.default_root_dir and folder(cli).parents[1])


def test_best_is_the_epoch_with_the_highest_figure(run):
    rates = ("--model.prompt_lr", "1e-1", "--model.ln_lr", "1e-1")
    cli = run("fit", "--trainer.max_epochs", "4", "--grids.queries", "0", *rates)
    lines = [line.split(",") for line in (folder(cli) / "metrics.csv").read_text().splitlines()]
    column, epoch = lines[0].index("val/mAP@all"), lines[0].index("epoch")
    figures = {int(row[epoch]): float(row[column]) for row in lines[1:] if row[column]}
    best = torch.load(folder(cli) / "checkpoints" / "best.ckpt", weights_only=True)
    assert figures[best["epoch"]] == max(figures.values())
    assert torch.load(folder(cli) / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 3


@pytest.fixture
def hub(fitted, tmp_path, monkeypatch):
    """The hub's download replaced by a folder; everything behind it is real."""
    from huggingface_hub.errors import EntryNotFoundError

    repository = tmp_path / "hub" / "owner" / "model"
    content = torch.load(folder(fitted) / "checkpoints" / "last.ckpt", weights_only=True)
    write_safetensors(content, repository / "model.safetensors")
    shutil.copy(folder(fitted) / "config.yaml", repository)

    def fetch(repo_id, filename, **_):
        path = tmp_path / "hub" / repo_id / filename
        if not path.is_file():
            raise EntryNotFoundError(filename)
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr("sketchclip.pretrained.hub.answers", lambda: True)
    return repository


@pytest.mark.parametrize("name", ["hf://owner/model", "owner/model"])
def test_a_hub_id_is_a_checkpoint_with_its_config(hub, fitted, name):
    tested = main(["test", "--ckpt_path", name])
    assert folder(tested) == Path("runs/x/ZeroShotPromptLearning")
    for key, value in fitted.model.named_parameters():
        if value.requires_grad:
            assert torch.equal(tested.model.get_parameter(key), value), key


def test_a_hub_repository_without_a_checkpoint(hub):
    (hub / "model.safetensors").unlink()
    with pytest.raises(SketchClipError, match=r"owner/model holds no checkpoint.*last\.ckpt"):
        find_checkpoint("owner/model")


def test_a_hub_id_offline_says_what_to_do(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_, **__):
        raise LocalEntryNotFoundError("cannot reach the hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr("sketchclip.pretrained.hub.answers", lambda: False)
    with pytest.raises(SketchClipError, match=r"hf download owner/model.*--ckpt_path=FOLDER"):
        find_checkpoint("hf://owner/model")


def test_settings_in_conflict_with_safetensors_stop(hub, run, capsys):
    given = ["--model.adaptation.n_prompts", "5", "--ckpt_path", str(hub / "model.safetensors")]
    with pytest.raises(SystemExit) as stopped:
        run("test", *given)
    assert stopped.value.code == 2
    assert "model.adaptation.n_prompts: 5 here, 3 in the checkpoint" in capsys.readouterr().err
