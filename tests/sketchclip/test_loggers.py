"""Weights & Biases with the real package and no server: one folder, all content, sweeps."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from sketchclip.cli import main
from sketchclip.config import experiment_folders
from sketchclip.loggers import WandbRun
from tests.sketchclip.test_cli import resolved
from tools.wandb_dashboard import LAYOUT

wandb = pytest.importorskip("wandb")
# What the dashboard shows; own photos are found only where sketches have one.
PANELS = {
    name
    for panels in LAYOUT.values()
    for *_, names in panels
    for name in names
    if not name.startswith("val/Acc@")
}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No server, and nothing of the account or the network of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # it reads these once a process
    yield
    wandb.teardown()


def records(folder: Path) -> list:
    """Everything in the file that ``wandb sync`` would send, which is a log in LevelDB's format."""
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # waits for the process that writes it
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    data, at, found, parts = path.read_bytes(), 7, [], b""
    while at + 7 <= len(data):
        if 0x8000 - at % 0x8000 < 7:  # no header fits into the rest of a block
            at += 0x8000 - at % 0x8000
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last of several
            found.append(Record.FromString(parts))
            parts = b""
    return found


def keys(items) -> set[str]:
    """First parts of the names in a record."""
    return {item.key or item.nested_key[0] for item in items}


@pytest.fixture
def logged(run, capsys):
    """A run of two epochs with its checkpoints as an artifact, by the short form."""
    options = ("--trainer.logger=wandb", "--trainer.logger.log_model=true", "--grids.queries", "2")
    cli = run("fit", "--trainer.max_epochs", "2", *options)
    return cli, Path(cli.trainer.log_dir), capsys.readouterr().out


def test_the_run_is_one_folder_with_everything(logged, run):
    cli, folder, printed = logged
    assert isinstance(cli.trainer.loggers[1], WandbRun)
    assert wandb.run is None  # ended, so that the next command has a run of its own
    for name in ("config.yaml", "environment.json", "metrics.csv", "checkpoints/last.ckpt"):
        assert (folder / name).is_file(), name
    assert len([*folder.glob("grids/epoch_*.png")]) == 2
    assert not Path("wandb").exists()

    sent = records(folder)
    history = set().union(*(keys(r.history.item) for r in sent if r.HasField("history")))
    assert history >= {"train/triplet", "train/cls_sketch", "train/cls_photo", "train/loss"}
    assert history >= {"val/mAP@all", "val/P@1", "val/retrieved", "trainer/global_step"}
    panels = {name for name in PANELS if name.startswith(("train/", "val/"))}
    assert history >= panels - {"val/P@100", "val/P@200"}  # of galleries with so many photos
    [config] = [r.config for r in sent if r.HasField("config")]
    config = {item.key: json.loads(item.value_json) for item in config.update}
    assert config["model"]["init_args"]["adaptation"]["init_args"]["n_prompts"] == 3
    assert config["trainer"]["max_epochs"] == 2
    assert config["environment"]["data"]["training sketches"]["files"] == 12
    headline = [r.metric for r in sent if r.metric.name == "val/mAP@all"]
    assert headline[-1].summary.max
    assert headline[-1].step_metric == "trainer/global_step"
    [artifact] = [r.artifact for r in sent if r.HasField("artifact")]
    assert artifact.type == "model"
    files = {entry.path for entry in artifact.manifest.contents}
    assert files == {"best.ckpt", "last.ckpt", "config.yaml"}
    assert f"wandb sync {folder.relative_to(Path.cwd())}/wandb/offline-run-" in printed

    tested = run("test", "--trainer.logger=wandb", "--grids.table=3", "--ckpt_path", str(folder))
    assert Path(tested.trainer.log_dir) == folder / "test"
    assert (folder / "test" / "grid.png").is_file()
    sent = records(folder / "test")
    history = set().union(*(keys(r.history.item) for r in sent if r.HasField("history")))
    assert history >= {"test/mAP@all", "test/retrieved"}
    panels = {name for name in PANELS if name.startswith("test/")}
    assert history >= panels - {"test/mAP@200", "test/P@100"}
    # The pictures of a table travel in an artifact; the JSON in the run's files has the rest.
    [pictures] = [r.artifact.manifest.contents for r in sent if r.artifact.type == "run_table"]
    assert len([entry for entry in pictures if entry.path.endswith(".png")]) == 3
    [table] = (folder / "test").rglob("*.table.json")
    table = json.loads(table.read_text())
    assert table["columns"] == ["query", "class", "retrieved", "classes", "hits", "hit@1", "AP"]
    values = (folder / "test" / "queries.csv").read_text().splitlines()
    column = values[0].split(",").index("mAP@all")
    known = {line.split(",")[0]: float(line.split(",")[column]) for line in values[1:]}
    assert len(table["data"]) == 3
    for query, own, _, classes, hits, hit, precision in table["data"]:
        [name] = [n for n in known if n.endswith(f"{own.replace('_', ' ')}/{query}")]
        assert precision == pytest.approx(known[name], abs=1e-6)
        assert [c == own for c in classes.split(", ")] == [mark == "x" for mark in hits]
        assert hit == (hits[0] == "x")


def test_a_training_of_few_steps_sends_a_loss_for_each(run):
    few = ("--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "10", "--grids.queries", "0")
    cli = run("fit", "--trainer.logger=wandb", *few)
    history = [r.history.item for r in records(Path(cli.trainer.log_dir)) if r.HasField("history")]
    sent = sum("train/loss" in keys(items) for items in history)
    assert sent == cli.trainer.global_step > 1


def test_the_layer_keeps_folder_and_name(capsys):
    layers = ["--config", "experiments/doodles.yaml", "--config", "experiments/loggers/wandb.yaml"]
    for given in (layers, [*layers[:2], "--trainer.logger=wandb"]):
        logger = resolved(capsys, "fit", *given)["trainer"]["logger"]
        assert logger["class_path"] == "sketchclip.loggers.WandbRun"
        assert (logger["init_args"]["save_dir"], logger["init_args"]["name"]) == ("runs", "doodles")


def test_disabled_leaves_the_files(run, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    shared = ("--trainer.max_epochs", "1", "--trainer.logger=wandb", "--grids.queries=0")
    folders = [Path(run("fit", *shared).trainer.log_dir) for _ in range(2)]
    assert [folder.name for folder in folders] == ["version_0", "version_1"]
    for folder in folders:
        assert (folder / "metrics.csv").is_file()
        assert (folder / "checkpoints" / "last.ckpt").is_file()
        assert not (folder / "grids").exists()
        assert not [*folder.glob("wandb/offline-run-*")]


def test_online_without_an_account_says_what_to_do(run, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(SystemExit) as stopped:
        run("fit", "--trainer.max_epochs", "1", "--trainer.logger=wandb")
    assert stopped.value.code == 2
    assert "WANDB_MODE=offline" in capsys.readouterr().err


SWEEPS = sorted(path for f in experiment_folders() for path in f.glob("sweeps/*.yaml"))


def agent_commands(sweep: Path) -> list[list[str]]:
    """The command of each value of each parameter, built by the functions of the W&B agent."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    content = yaml.safe_load(sweep.read_text())
    values = {n: p.get("values", [p.get("value")]) for n, p in content["parameters"].items()}
    commands = []
    for number in range(max(map(len, values.values()))):
        chosen = {n: {"value": v[number % len(v)]} for n, v in values.items()}
        parts = create_sweep_command_args({"args": chosen}) | {
            "env": ["/usr/bin/env"],
            "interpreter": [sys.executable],
            "program": [content["program"]],
        }
        words = [
            parts[word[2:-1]] if word.startswith("${") else [word]
            for word in create_sweep_command(list(content["command"]))
        ]
        commands.append([word for group in words for word in group])
    return commands


def test_sweeps_were_found():
    assert {"learning_rates", "prompts", "adaptations"} <= {path.stem for path in SWEEPS}


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.stem)
def test_commands_of_a_sweep_parse_to_their_values(sweep, capsys):
    content = yaml.safe_load(sweep.read_text())
    assert content["metric"]["name"] == "val/mAP@all"
    for command in agent_commands(sweep):
        assert command[:5] == ["/usr/bin/env", sys.executable, "-m", "sketchclip", "fit"]
        config = resolved(capsys, *command[4:])
        for word in command[5:]:
            name, _, value = word[2:].partition("=")
            if name not in content["parameters"]:
                continue
            found = config
            for part in name.split("."):
                found = found[part]
            if isinstance(found, dict):  # a class by its bare name
                found = found["class_path"].rpartition(".")[2]
            assert str(found) == value or float(found) == float(value), word


def test_a_command_of_a_sweep_runs(tree, options, tmp_path, monkeypatch):
    [sweep] = [path for path in SWEEPS if path.stem == "adaptations"]
    command = agent_commands(sweep)[-1]
    # As the agent leaves them for the process; small data and model in place of the doodles.
    parameters = {"model.init_args.adaptation": {"value": "ConditionedPrompts"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"wandb_version": 1, **parameters}))
    monkeypatch.setenv("WANDB_SWEEP_ID", "abcd1234")
    monkeypatch.setenv("WANDB_RUN_ID", "run12345")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "config.yaml"))
    small = [option for option in options if option != "csv"]
    small.remove("--trainer.logger")
    small += [
        "--data=SketchPhotoFolder",
        f"--data.root={tree}",
        "--data.split=random:2:0",
    ]
    cli = main([*command[4:], *small])
    assert type(cli.model.adaptation).__name__ == "ConditionedPrompts"
    folder = Path(cli.trainer.log_dir)
    assert folder == tmp_path / "runs" / "sweep_adaptations" / "version_0"
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert len([*folder.glob("wandb/offline-run-*-run12345")]) == 1
    [started] = [r.run for r in records(folder) if r.HasField("run")][:1]
    assert started.sweep_id == "abcd1234"
    assert "model.init_args.adaptation" in {item.key for item in started.config.update}
