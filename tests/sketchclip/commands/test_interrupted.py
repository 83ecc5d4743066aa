"""Ctrl-C in a training or a test: status 130, and how it goes on."""

import re
import signal
from pathlib import Path

import pytest

PRESS = "--trainer.callbacks+=tests.helpers.interrupt.PressCtrlC"


def stopped(run, capfd, *args: str) -> str:
    before = signal.getsignal(signal.SIGINT)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 130
    assert signal.getsignal(signal.SIGINT) is before
    said = capfd.readouterr().err
    assert "Traceback" not in said
    return next(line for line in said.splitlines() if line.startswith("Stopped."))


def test_a_training_that_is_interrupted_says_how_it_goes_on(run, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    epoch = "--trainer.callbacks.epoch=1"
    said = stopped(run, capfd, "fit", "--trainer.max_epochs", "3", PRESS, epoch)
    found = re.search(r"sketchclip fit --ckpt_path (\S+)$", said)
    assert found is not None, said
    assert Path(found[1]).is_file()
    assert not [*Path(found[1]).parent.glob("*.partial")]


def test_a_training_without_a_checkpoint_says_so(run, capfd):
    said = stopped(run, capfd, "fit", "--trainer.max_epochs", "1", PRESS)
    assert said.endswith("no checkpoint was written: start again.")


def test_a_test_that_is_interrupted_has_nothing_to_say(run, capfd):
    assert stopped(run, capfd, "test", PRESS) == "Stopped."


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_what_was_stopped_before_a_result_leaves_no_folder(command, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = ("--trainer.logger.save_dir", "runs", "--trainer.logger.name", "x")
    fit = ("--trainer.max_epochs", "1", "--grids.queries", "0", *runs)
    run("fit", *fit)
    run("fit", *fit)
    before = sorted(Path("runs").rglob("*"))
    evaluated = ("--ckpt_path", "runs/x/version_0", *runs)
    with pytest.raises(SystemExit) as stop:
        run(command, *(fit if command == "fit" else evaluated), PRESS)
    assert stop.value.code == 130
    assert sorted(Path("runs").rglob("*")) == before
    assert Path("runs/x/last").resolve().name == "version_1"
