"""Grids of runs: what is read, what is run, resumed and carried past."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sketchclip.cli import main
from sketchclip.commands.ablate import default_output
from sketchclip.errors import SketchClipError
from sketchclip.runs.ablation import reason
from sketchclip.runs.ablation_grid import read_grid
from tests.helpers.paths import REPOSITORY


@pytest.fixture
def grid(tmp_path, tree, tiny_weights):
    """A model to train, one to test as it is, and one that fails, on generated images."""
    base = {
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": {
                "class_path": "sketchclip.loggers.RunFiles",
                "init_args": {"save_dir": "runs"},
            },
        },
        "model": {
            "class_path": "ZeroShotPromptLearning",
            "init_args": {"backbone": "sketchclip-mini", "pretrained": "random"},
        },
        "data": {
            "class_path": "SketchPhotoFolder",
            "init_args": {"root": str(tree), "split": "random:2:0", "num_workers": 0},
        },
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    cells = {
        "ours": "base.yaml",
        "without_cls": {"config": "base.yaml", "model.lambda_cls": 0, "train": False},
        "broken": {"config": "base.yaml", "data.root": "nowhere"},
    }
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"cells": cells}, sort_keys=False))
    return path


@pytest.mark.parametrize(
    "name", ["../..", "..", "/tmp/x", "a/b", "a\\b", "", ".git", "a\nb", "@eaDir"]
)
def test_runs_stay_in_the_output_folder(grid, name):
    grid.write_text(yaml.safe_dump({"cells": {"ours": "base.yaml", name: "base.yaml"}}))
    for only in ((), ("ours",)):
        with pytest.raises(SketchClipError, match="names a folder: expected"):
            read_grid(str(grid), [0], only=only)


def test_the_folder_of_a_grid_stays_among_runs():
    assert default_output("experiments/../../mine/a.yaml") == Path("runs/a")
    assert default_output("./experiments/x/../a.yaml") == Path("runs/a")


def test_cells_have_seeds_configs_and_settings(grid):
    cells = read_grid(str(grid), [0, 3])
    assert [(c.name, c.seed) for c in cells] == [
        (name, seed) for name in ("ours", "without_cls", "broken") for seed in (0, 3)
    ]
    assert cells[2].options() == [
        *("--config", str(grid.parent / "base.yaml"), "--model.lambda_cls=0"),
        *("--seed_everything=0", "--data.seed=0"),
    ]


def test_the_settings_hash_changes_with_every_setting(grid):
    (ours, other), changed = read_grid(str(grid), [0, 1])[:2], read_grid(str(grid), [0])[1]
    prints = {ours.settings_hash(), other.settings_hash(), changed.settings_hash()}
    prints |= {ours.settings_hash(["--trainer.max_epochs=2"])}
    before = ours.settings_hash()
    base = grid.parent / "base.yaml"
    base.write_text(base.read_text() + "# changed\n")
    assert len(prints | {ours.settings_hash()}) == 5
    assert before in prints


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "expected a grid of runs"),
        ({"cells": {"a": "missing.yaml"}}, "missing.yaml does not exist"),
        ({"cells": {}, "extends": "missing.yaml"}, "missing.yaml does not exist"),
        ({"cells": {"a": "base.yaml"}, "checkpoint": "first"}, "expected last or best"),
        (
            {"cells": {"a": "base.yaml", "b": {"checkpoint_of": "c"}}},
            "b: checkpoint_of: c: expected a cell that trains: a.",
        ),
        (
            {"cells": {"a": {"config": "base.yaml", "train": False}, "b": {"checkpoint_of": "a"}}},
            "expected a cell that trains: there is none",
        ),
        (
            {"cells": {"a": "base.yaml"}, "seeds": [1]},
            "expected the keys cells, checkpoint, configs and extends",
        ),
    ],
)
def test_bad_grids_are_refused(grid, content, message):
    grid.write_text(yaml.safe_dump(content))
    with pytest.raises(SketchClipError, match=message):
        read_grid(str(grid), [0])


def test_a_grid_that_extends_another_says_only_what_differs(grid):
    (grid.parent / "more").mkdir()
    (grid.parent / "more" / "layer.yaml").write_text("data: {}")
    path = grid.parent / "more" / "grid.yaml"
    changes = {"without_cls": {"model.lambda_cls": 2, "data.batch_size": 4}, "new": "layer.yaml"}
    content = {"extends": "../grid.yaml", "configs": "layer.yaml", "cells": changes}
    path.write_text(yaml.safe_dump({**content, "checkpoint": "best"}))
    runs = {run.name: run for run in read_grid(str(path), [0])}
    assert [*runs] == ["ours", "without_cls", "broken", "new"]
    base, layer = grid.parent / "base.yaml", path.parent / "layer.yaml"
    assert [c.resolve() for c in runs["without_cls"].configs] == [base, layer]
    settings = (("model.lambda_cls", "2"), ("data.batch_size", "4"))
    assert (runs["without_cls"].settings, runs["without_cls"].train) == (settings, False)
    assert runs["new"].configs == (layer, layer)
    assert {run.checkpoint for run in runs.values()} == {"best"}
    assert {run.checkpoint for run in read_grid(str(grid), [0])} == {"last"}


def with_tests_elsewhere(grid):
    cells = {
        "elsewhere": {"checkpoint_of": "ours", "data.split": "unseen_by_model", "seeds": [0, 3]},
        "ours": {"config": "base.yaml", "model.prompt_lr": 0.001},
    }
    grid.write_text(yaml.safe_dump({"cells": cells}, sort_keys=False))
    return grid


def test_a_cell_tests_the_checkpoint_of_another(grid):
    elsewhere, third, ours = read_grid(str(with_tests_elsewhere(grid)), [0])
    assert (elsewhere.base, elsewhere.train) == (ours, False)
    assert third.base.seed == 3
    assert elsewhere.configs == ours.configs
    settings = (("model.prompt_lr", "0.001"), ("data.split", "unseen_by_model"))
    assert elsewhere.settings == settings
    before = elsewhere.settings_hash()
    grid.write_text(grid.read_text().replace("0.001", "0.002"))
    assert read_grid(str(grid), [0])[0].settings_hash() != before


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_checkpoint_is_there_before_it_is_tested(grid, tmp_path, monkeypatch, jobs):
    order = []

    def one(run, *_):
        time.sleep(0.1 * run.train)
        order.append(run.title)
        return 0.1

    monkeypatch.setattr("sketchclip.runs.ablation.run_one", one)
    command = ["ablate", str(with_tests_elsewhere(grid)), "--seeds", "0,3", "--jobs", str(jobs)]
    main([*command, "--output", str(tmp_path / "o")])
    for seed in (0, 3):
        assert order.index(f"ours, seed {seed}") < order.index(f"elsewhere, seed {seed}")


def test_the_reason_of_a_failure_is_its_error_or_its_last_line(tmp_path):
    log = tmp_path / "log.txt"
    assert reason(log) == ""
    log.write_text("$ sketchclip fit\nepoch 1\nMemoryError: all used\n\n")
    assert reason(log) == ": MemoryError: all used"
    log.write_text("a\nsketchclip: error: --x: unknown option.\nSee sketchclip fit --help\n")
    assert reason(log) == ": --x: unknown option."


@pytest.mark.parametrize("option", ["--data.root", "--data.root=x", "--model"])
def test_an_option_of_fit_without_the_two_hyphens_says_where_it_goes(grid, capsys, option):
    with pytest.raises(SystemExit):
        main(["ablate", str(grid), option, "x"])
    name = option.partition("=")[0]
    assert f"{name}: an option of fit" in (told := capsys.readouterr().err)
    assert f"sketchclip ablate GRID -- {name} VALUE." in told


def test_a_cell_without_its_checkpoint_fails_with_the_reason(grid, tmp_path):
    output = tmp_path / "o"
    command = ["ablate", str(with_tests_elsewhere(grid)), "--cells", "elsewhere"]
    with pytest.raises(SystemExit):
        main([*command, "--output", str(output)])
    told = (output / "elsewhere" / "seed_0" / "log.txt").read_text()
    assert told == "ours, seed 0 has no checkpoint of these settings. Run that cell first.\n"


@pytest.mark.slow
def test_one_training_is_tested_on_two_splits(grid, tmp_path):
    grid = with_tests_elsewhere(grid)
    grid.write_text(grid.read_text().replace("- 0\n", "").replace("- 3", "- 0"))
    output = tmp_path / "runs"
    main(["ablate", str(grid), "--seeds", "0", "--output", str(output)])
    found = {
        name: json.loads((output / name / "seed_0" / "test" / "metrics.json").read_text())
        for name in ("ours", "elsewhere")
    }
    assert found["ours"]["checkpoint_sha256"] == found["elsewhere"]["checkpoint_sha256"]
    assert not (output / "elsewhere" / "seed_0" / "fit").exists()
    assert len(found["elsewhere"]["removed_classes"]) == 4
    cross, own = sorted(main(["table", str(output)]), key=lambda table: table.title)
    assert (own.title, cross.title) == (
        "Main table: SketchPhotoFolder",
        "Cross-dataset: SketchPhotoFolder",
    )


def test_an_unknown_cell_is_named(grid):
    with pytest.raises(SketchClipError, match="has no run nonsense"):
        read_grid(str(grid), [0], only=["nonsense"])


def test_commands_repeat_the_grid_run_by_run(grid, capsys):
    main(["ablate", str(grid), "--seeds", "0,1", "--commands", "--", "--data.root", "a b"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[1] == (
        f"sketchclip ablate {grid} --cells ours --seeds 1 --output runs/grid -- --data.root 'a b'"
    )


def test_time_left_is_told_where_there_is_no_terminal(grid, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sketchclip.runs.ablation.run_one", lambda *_: time.sleep(0.05) or 0.05)
    main(
        ["ablate", str(grid), "--cells", "ours", "--seeds", "0,1", "--output", str(tmp_path / "o")]
    )
    told = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\[1/2\] ours, seed 0: finished, 0 s, about 0:00:00 left", told[0])
    assert told[1] == "[2/2] ours, seed 1: finished, 0 s"


def test_an_interrupted_grid_starts_nothing_more(grid, tmp_path, monkeypatch, capsys):
    started = []

    def interrupted(run, *_):
        started.append(run.title)
        raise KeyboardInterrupt

    monkeypatch.setattr("sketchclip.runs.ablation.run_one", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(["ablate", str(grid), "--seeds", "0,1,2,3,4,5", "--output", str(tmp_path / "o")])
    assert stopped.value.code == 130
    assert len(started) < 18
    assert "finished runs are kept" in capsys.readouterr().err


def test_runs_end_with_the_grid_that_started_them(grid, tmp_path, monkeypatch, capsys):
    program = "import pathlib, time; pathlib.Path('{}').touch(); time.sleep(600)"
    started, processes = tmp_path / "started", []

    class Waiting(subprocess.Popen):
        def __init__(self, _, **options):
            super().__init__([sys.executable, "-c", program.format(started)], **options)
            processes.append(self)

    def interrupt(futures):
        while not started.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr("sketchclip.runs.ablation.subprocess.Popen", Waiting)
    monkeypatch.setattr("sketchclip.runs.ablation.as_completed", interrupt)
    with pytest.raises(SystemExit) as stopped:
        main(["ablate", str(grid), "--seeds", "0,1,2", "--output", str(tmp_path / "o")])
    assert stopped.value.code == 130
    assert [process.poll() for process in processes] == [-signal.SIGTERM]
    assert capsys.readouterr().err.endswith(
        "Stopped. Start again: finished runs are kept, the others go on.\n"
    )


@pytest.mark.slow
def test_a_preempted_grid_goes_on_within_the_epoch(grid, tmp_path):
    """Signals go to the whole group, as from a cluster: the grid and its run."""
    calls = tmp_path / "bin" / "calls"
    calls.parent.mkdir()
    (calls.parent / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    (calls.parent / "scontrol").chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment |= {"PATH": f"{calls.parent}:{os.environ['PATH']}", "SLURM_JOB_ID": "5"}
    send = "--trainer.callbacks+=tests.helpers.interrupt.SendSignal"
    more = [send, "--trainer.callbacks.group=true", "--trainer.callbacks.step=1"]
    command = [sys.executable, "-m", "sketchclip", "ablate", str(grid), "--cells", "ours"]
    command += ["--seeds", "0", "--output", str(tmp_path / "o"), "--", *more]
    command += ["--data.batch_size=4", "--trainer.log_every_n_steps=1"]
    folder = tmp_path / "o" / "ours" / "seed_0"
    for status in (138, 0):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, start_new_session=True
        )
        assert done.returncode == status, done.stderr
        if status:
            assert done.stderr.endswith("the others go on. SLURM runs job 5 again.\n")
            assert "All batches so far are in" in (folder / "log.txt").read_text()
    assert calls.read_text() == "requeue 5\n"  # the grid alone, not its run
    cost = json.loads((folder / "fit" / "cost.json").read_text())
    steps = [line.split(",") for line in (folder / "fit/metrics.csv").read_text().splitlines()]
    at = steps[0].index("step")
    assert {int(row[at]) for row in steps[1:]} == {*range(cost["batches"])}
    assert cost["batches"] > 2
    assert (folder / "test" / "metrics.json").is_file()
    assert (folder / "log.txt").read_text().count("$ sketchclip fit") == 2


@pytest.mark.slow
def test_a_killed_grid_resumes_and_carries_on_past_a_failure(grid, tmp_path, capsys):
    output = tmp_path / "runs"
    command = ["ablate", str(grid), "--seeds", "0", "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        [sys.executable, "-m", "sketchclip", *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    first = output / "ours" / "seed_0" / "run.json"
    deadline = time.monotonic() + 200
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    stamp = first.stat().st_mtime_ns

    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "broken, seed 0" in said.out
    assert "log.txt:Datarootnowheredoesnotexist" in "".join(said.err.split())  # lines may break
    assert first.stat().st_mtime_ns == stamp  # not run again
    assert "nowhere" in (output / "broken" / "seed_0" / "log.txt").read_text()
    assert json.loads(first.read_text())["commit"] != ""

    tables = main(["table", str(output), "-o", str(tmp_path / "tables")])
    (main_table, ablations) = tables
    assert {row[0] for row in ablations.rows if row[-1] == "0"} == {"Ours", "w/o L_cls"}
    assert {row[0] for row in main_table.rows if row[-1] == "0"} == {"Ours"}
    metrics = json.loads((first.parent / "test" / "metrics.json").read_text())["metrics"]
    column = ablations.columns.index("mAP@all")
    ours = next(row for row in ablations.rows if row[0] == "Ours")
    assert ours[column] == f"{metrics['mAP@all']:.3f}"
    assert {p.suffix for p in (tmp_path / "tables").iterdir()} == {".md", ".tex", ".csv", ".html"}
