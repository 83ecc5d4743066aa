"""Two nodes, each with one process, train what one does; together they stop and go on."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from sketchclip.cli import main
from sketchclip.clip.mini import create_mini, save_mini
from tests.helpers.paths import REPOSITORY

SEND = ("--trainer.callbacks+=tests.helpers.interrupt.SendSignal", "--trainer.callbacks.step=1")
TWO = ("--trainer.num_nodes", "2", "--trainer.devices", "1", "--trainer.strategy", "ddp")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, make_tree):
    """Options of a training of two epochs with three batches each, which two processes share."""
    folder = tmp_path_factory.mktemp("nodes")
    data = make_tree(folder / "data", classes=7, sketches=6, photos=3)
    torch.manual_seed(0)
    weights = folder / "mini.safetensors"
    save_mini(create_mini(None), weights, range(49408))
    return [
        *("fit", "--model", "ZeroShotPromptLearning", "--model.backbone", "sketchclip-mini"),
        *("--model.pretrained", str(weights)),
        *("--model.prompt_lr", "1e-3", "--model.ln_lr", "1e-3"),
        *("--data", "SketchPhotoFolder", "--data.root", str(data), "--data.split", "random:3:0"),
        *("--data.validation", "none", "--data.num_workers", "0", "--data.batch_size", "8"),
        *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "2"),
        *("--trainer.enable_progress_bar", "false", "--trainer.logger", "csv"),
    ]


@pytest.fixture(scope="module")
def alone(shared, tmp_path_factory):
    """Trained tensors of one process."""
    folder = tmp_path_factory.mktemp("alone")
    cli = main([*shared, "--trainer.devices", "1", "--trainer.logger.save_dir", str(folder)])
    return trained(cli.trainer.log_dir)


def trained(folder):
    return torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def nodes(kind, folder, *args, status=0):
    """Start the same command on both; returns what they wrote."""
    port, programs = free_port(), []
    for rank in ("0", "1"):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        environment.pop("PL_GLOBAL_SEED", None)
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        if kind == "slurm":
            environment |= {"SLURM_JOB_ID": "123", "SLURM_NTASKS": "2", "SLURM_NNODES": "2"}
            environment |= {"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": "0"}
            environment |= {"SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost"}
            environment["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        else:
            environment |= {"NODE_RANK": rank, "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
        program = [sys.executable, "-m", "sketchclip", *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        programs.append(subprocess.Popen(program, env=environment, cwd=folder, **pipes))
    try:
        told = [program.communicate(timeout=600) for program in programs]
    finally:
        for program in programs:
            program.kill()
    assert [program.returncode for program in programs] == [status] * 2, told
    return told


@pytest.mark.slow
@pytest.mark.ddp
def test_two_nodes_by_hand_are_one_training(shared, alone, tmp_path):
    nodes("by hand", tmp_path, *shared, *TWO)
    equals(alone, trained(tmp_path / "runs" / "experiment" / "version_0"))


def equals(alone, result):
    assert result["global_step"] == alone["global_step"] == 6
    for name, value in alone["state_dict"].items():
        torch.testing.assert_close(result["state_dict"][name], value, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_nodes_of_a_job_stop_and_go_on_together(shared, alone, tmp_path):
    calls = tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    fit = [*shared, *TWO, "--trainer.logger.version", "job"]
    run = tmp_path / "runs" / "experiment" / "job"

    # The second node alone is told that the job ends; both stop after the second batch.
    told = nodes("slurm", tmp_path, *fit, *SEND, "--trainer.callbacks.process=1", status=138)
    assert "All batches so far are in" in told[0][1]
    assert "Stopped." not in told[1][1]
    assert calls.read_text() == "requeue 123\n"
    assert trained(run)["global_step"] == 2

    nodes("slurm", tmp_path, *fit, "--ckpt_path", "runs/experiment/job")
    assert sorted(path.name for path in run.parent.iterdir()) == ["job"]
    equals(alone, trained(run))
