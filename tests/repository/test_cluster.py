"""The scripts for SLURM, with its commands imitated: what they start, in which order, and again."""

import os
import re
import shlex
import subprocess

import pytest

from sketchclip.cli import main
from tests.helpers.paths import REPOSITORY

SCRIPTS = sorted(REPOSITORY.glob("experiments/cluster/*.sbatch"))
PAGE = REPOSITORY / "docs" / "cluster.md"
GIVEN = ["--config", "experiments/sketchy.yaml", "--data.root", "a b"]


def check(script):
    return subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash(script):
    text = script.read_text("utf-8")
    assert check(text).returncode == 0
    assert check(text + "\nif true; then").returncode != 0
    for option in ("--requeue", "--signal=USR1@300", "--open-mode=append"):
        assert re.search(rf"^#SBATCH {option}$", text, re.MULTILINE)


def test_the_blocks_of_the_page_are_bash():
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        assert check(block).returncode == 0, block
        for line in re.findall(r"^#SBATCH .*$", block, re.MULTILINE):
            assert line in (REPOSITORY / "experiments/cluster/fit.sbatch").read_text("utf-8")
        for name in re.findall(r"experiments/cluster/\S+", block):
            assert (REPOSITORY / name).is_file(), name


@pytest.fixture
def submit(tmp_path):
    """Run a script as SLURM would; returns its status and the commands that it has started."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (folder / "srun").write_text('#!/bin/bash\nexec "$@"\n')
    told = f"printf '%q ' \"$@\" >> {calls}; echo >> {calls}; exit ${{STATUS:-0}}\n"
    (folder / "sketchclip").write_text(f"#!/bin/bash\n{told}")
    for program in folder.iterdir():
        program.chmod(0o755)

    def call(name, *args, status=0, **variables):
        calls.unlink(missing_ok=True)
        environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
        environment |= {"SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4"}
        environment |= {"SLURM_CPUS_PER_TASK": "8", "STATUS": str(status), **variables}
        script = REPOSITORY / "experiments" / "cluster" / name
        done = subprocess.run(["bash", script, *args], cwd=tmp_path, env=environment)
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, [shlex.split(line) for line in lines]

    return call


def test_a_job_trains_goes_on_and_tests(submit, tmp_path, monkeypatch, capsys):
    run = tmp_path / "runs" / "cluster" / "job_7"
    test = ["test", "--ckpt_path", "runs/cluster/job_7"]
    status, (fit, *rest) = submit("fit.sbatch", *GIVEN, status=138)
    assert (status, rest) == (138, [])  # no test of what is not trained
    assert fit[: 1 + len(GIVEN)] == ["fit", *GIVEN]
    assert "--ckpt_path" not in fit

    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    status, found = submit("fit.sbatch", *GIVEN)
    assert (status, found) == (0, [[*fit, *test[1:]], test])
    (run / "cost.json").touch()
    assert submit("fit.sbatch", *GIVEN) == (0, [test])

    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit) as stop:
        main([*fit, "--print_config"])
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert re.search(r"^  num_nodes: 2$", printed, re.MULTILINE)
    assert re.search(r"^  devices: '?4'?$", printed, re.MULTILINE)
    assert re.search(r"^ +version: job_7$", printed, re.MULTILINE)


def test_a_task_takes_its_line(submit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    grid = "experiments/embedded/components.yaml"
    main(["ablate", grid, "--seeds", "0,1", "--commands", "--", "--data.root", "a 'b"])
    (tmp_path / "commands.txt").write_text(capsys.readouterr().out)
    lines = (tmp_path / "commands.txt").read_text().splitlines()
    for number, line in enumerate(lines[:3], start=1):
        status, found = submit("array.sbatch", "commands.txt", SLURM_ARRAY_TASK_ID=str(number))
        assert (status, found) == (0, [shlex.split(line)[1:]])
        assert found[0][-1] == "a 'b"
    assert submit("array.sbatch", "commands.txt", SLURM_ARRAY_TASK_ID="999") == (2, [])
    told = submit("array.sbatch", "commands.txt", status=138, SLURM_ARRAY_TASK_ID="1")
    assert told[0] == 138
