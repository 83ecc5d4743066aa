"""A training that its cluster ends goes on where it was, within the epoch, in the same folder."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sketchclip.callbacks import averaging
from sketchclip.cli import main
from sketchclip.system import signals
from tests.helpers.paths import REPOSITORY

SEND = "--trainer.callbacks+=tests.helpers.interrupt.SendSignal"
# Six classes, 18 sketches: five batches an epoch.
SMALL = ("--data.batch_size", "4", "--data.validation", "test_classes", "--grids.queries", "0")


@pytest.fixture(autouse=True)
def _no_request(monkeypatch):
    monkeypatch.setattr(signals._Requests, "status", None)
    monkeypatch.setattr(signals._Requests, "last", float("-inf"))


@pytest.fixture
def job(monkeypatch, tmp_path):
    """A job of SLURM with one task; returns the file with the calls of scontrol."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    for name, value in {
        **{"SLURM_JOB_ID": "123", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        **{"SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_NODELIST": "localhost"},
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return calls


def state(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        found = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    return [row for row in found if not any(name.endswith("_epoch") for name in row)]


@pytest.fixture
def fit(run, tmp_path):
    def call(name, *more):
        epochs = ("--trainer.max_epochs", "3", "--trainer.logger.name", "x")
        run("fit", *SMALL, *epochs, "--trainer.logger.version", name, *more)
        return tmp_path / "runs" / "x" / name

    return call


def stop(fit, capfd, *more, status=138):
    capfd.readouterr()
    signals._Requests.last = float("-inf")  # two within a second are one request
    with pytest.raises(SystemExit) as stopped:
        fit("job", *more)
    assert stopped.value.code == status
    said = capfd.readouterr().err
    assert "Traceback" not in said
    return next(line for line in said.splitlines() if line.startswith("Stopped."))


# The first batch, one in the middle, the last one of an epoch, the first after a validation.
@pytest.mark.parametrize(
    ("step", "more"), [(0, ()), (2, ()), (4, ()), (5, ()), (2, ("--ema.decay", "0.5"))]
)
def test_a_preempted_run_is_the_undisturbed_one(fit, job, capfd, step, more):
    whole = fit("whole", *more)
    said = stop(fit, capfd, *more, SEND, f"--trainer.callbacks.step={step}")
    folder = whole.with_name("job")
    path = folder / "checkpoints" / "last.ckpt"
    assert f"All batches so far are in {path}." in said
    assert said.endswith("SLURM runs job 123 again.")
    assert job.read_text() == "requeue 123\n"
    # The end of an epoch is not cut: its validation and one more batch follow.
    assert state(folder)["global_step"] == (step + 1 if step != 4 else 6)
    assert not [*Path.cwd().glob("*.ckpt")]  # none of Lightning's own
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL

    fit("job", *more, "--ckpt_path", str(folder))
    averaged = [name for name in state(whole) if name == averaging._ENTRY]
    assert bool(averaged) == bool(more)
    for part in ("state_dict", "optimizer_states", "global_step", "epoch", *averaged):
        torch.testing.assert_close(state(folder)[part], state(whole)[part], rtol=0, atol=0)
    best = [torch.load(f / "checkpoints/best.ckpt", weights_only=True) for f in (folder, whole)]
    assert best[0]["global_step"] == best[1]["global_step"]
    costs = [json.loads((f / "cost.json").read_text()) for f in (folder, whole)]
    assert [c["batches"] for c in costs] == [15, 15]
    assert costs[0]["images"] == costs[1]["images"]
    assert rows(folder) == rows(whole)
    assert len([*folder.glob("config*.yaml")]) == 2


def test_a_run_in_a_named_folder_is_tested_below_it(fit, job, run):
    folder = fit("whole")
    steps = rows(folder)
    main(["test", "--ckpt_path", str(folder)])
    assert (folder / "test" / "metrics.json").is_file()
    assert rows(folder) == steps


def test_told_to_end_it_saves_and_leaves_the_job_to_the_scheduler(fit, job, capfd):
    said = stop(fit, capfd, SEND, "--trainer.callbacks.number=15", status=143)
    assert "All batches so far" in said
    assert not job.exists()


def test_a_task_of_an_array_is_queued_again_alone(fit, job, capfd, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert stop(fit, capfd, SEND).endswith("SLURM runs job 7_3 again.")
    assert job.read_text() == "requeue 7_3\n"


def test_gradients_that_add_up_are_not_cut_short(fit, job, capfd):
    each = "--trainer.accumulate_grad_batches=2"
    stop(fit, capfd, SEND, "--trainer.callbacks.step=1", each)  # the third batch
    loops = state(Path("runs/x/job"))["loops"]["fit_loop"]
    assert loops["epoch_loop.batch_progress"]["current"]["ready"] == 4


def test_a_job_that_cannot_be_queued_again_says_so(fit, job, capfd, monkeypatch):
    Path("bin/scontrol").write_text("#!/bin/sh\necho Job may not be requeued >&2; exit 1\n")
    said = stop(fit, capfd, SEND)
    assert "again (Job may not be requeued): submit it once more." in said
    monkeypatch.setenv("SKETCHCLIP_REQUEUE", "0")
    assert "SLURM" not in stop(fit, capfd, SEND)
    Path("bin/scontrol").unlink()
    monkeypatch.delenv("SKETCHCLIP_REQUEUE")
    assert "(scontrol is not on the path)" in stop(fit, capfd, SEND)


def test_told_after_the_last_batch_it_ends_with_all_that_it_trains(fit, job, capfd):
    said = stop(fit, capfd, SEND, "--trainer.callbacks.step=14")
    assert said.endswith("last.ckpt. SLURM runs job 123 again.")
    assert "All is trained" in said
    folder = Path("runs/x/job")
    assert (folder / "cost.json").is_file()
    assert state(folder)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_readers_that_are_told_as_well_work_on(number, tree, tmp_path):
    """A cluster tells all processes of a step, those that read images included."""
    send = (SEND, f"--trainer.callbacks.number={int(number)}", "--trainer.callbacks.step=2")
    command = [
        *(sys.executable, "-m", "sketchclip", "fit", "--model", "ZeroShotPromptLearning", *SMALL),
        *("--model.backbone", "sketchclip-mini", "--model.pretrained", "random"),
        *("--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split", "random:2:0"),
        *("--data.num_workers", "2", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "2"),
        *("--trainer.logger.version", "job", *send, "--trainer.callbacks.group=true"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        start_new_session=True,
    )
    assert done.returncode == 128 + number, done.stderr
    assert "All batches so far" in done.stderr
    assert state(tmp_path / "runs" / "experiment" / "job")["global_step"] == 3
