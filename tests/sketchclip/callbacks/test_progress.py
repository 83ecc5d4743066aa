"""Bars of a terminal: what they say, where they go, and how often they ask for the loss."""

import pytest

from sketchclip.callbacks import progress

SHORT = ("--trainer.max_epochs", "2", "--grids.queries", "0")


@pytest.fixture
def in_terminal(run, monkeypatch):
    """Run a command with bars that are drawn after each step; returns its two outputs."""
    monkeypatch.setattr(progress, "_EVERY", 0.0)

    def call(capsys, *args):
        run(*args, "--trainer.enable_progress_bar", "true")
        return capsys.readouterr()

    return call


def test_a_line_after_each_epoch_and_a_bar_that_goes(in_terminal, capsys):
    out, err = in_terminal(capsys, "fit", *SHORT)
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("loss" in line and "validation mAP@all" in line for line in lines)
    assert "epoch 1/2:" in err
    assert "epoch 2/2:" in err
    assert "loss=" in err
    assert "validation, sketches:" in err
    assert "validation, photos:" in err
    assert "v_num" not in err
    assert "0/?" not in err, "a bar is drawn before it has a length"
    assert "%|" not in out
    drawn = err.replace("\x1b[A", "").replace("\n", "")
    assert drawn.endswith("\r"), "the last bar is still there"
    assert not drawn.rstrip("\r").rpartition("\r")[2].strip()


def test_a_table_begins_on_a_line_of_its_own(in_terminal, capsys):
    out, err = in_terminal(capsys, "test")
    assert "test, sketches:" in err
    assert "%|" not in out
    assert not err.rstrip("\r").rpartition("\r")[2].strip()


def test_the_loss_is_asked_for_by_time(run, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(progress, "_EVERY", 1e9)
    metrics = progress.EpochProgress.get_metrics
    monkeypatch.setattr(
        progress.EpochProgress, "get_metrics", lambda *args: asked.append(1) or metrics(*args)
    )
    cli = run("fit", *SHORT, "--data.batch_size", "1", "--trainer.enable_progress_bar", "true")
    assert "epoch 2/2" in capsys.readouterr().out
    assert cli.trainer.global_step > 20
    assert len(asked) == 6  # of both epochs the last step, the validation and the end


def test_a_bar_of_the_users_own_is_kept(run, capsys):
    bar = "lightning.pytorch.callbacks.TQDMProgressBar"
    cli = run("fit", *SHORT, "--trainer.callbacks", bar, "--trainer.enable_progress_bar", "true")
    assert type(cli.trainer.progress_bar_callback).__name__ == "TQDMProgressBar"
    assert "epoch 2/2  loss" in capsys.readouterr().out
