"""What is left to train: said before anything is written, and named by the setting at fault."""

import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sketchclip.callbacks.training import TrainingReport
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.runs.resume import check_limits

SHORT = ("--trainer.max_epochs", "1", "--grids.queries", "0", "--data.validation", "none")


def content(epochs: int = 3, steps: int = 6, seconds: float = 90.0) -> dict:
    progress = {"epoch_progress": {"current": {"processed": epochs}}}
    timer = {"Timer{'interval': 'step'}": {"time_elapsed": {"train": seconds}}}
    states: dict = {"optimizer_states": [], "lr_schedulers": [], "callbacks": timer}
    return states | {"epoch": epochs - 1, "global_step": steps, "loops": {"fit_loop": progress}}


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        (
            {"max_epochs": 3},
            r"All epochs are done: .*a\.ckpt has 3 epochs, trainer.max_epochs is 3",
        ),
        ({"max_epochs": 1}, r"a\.ckpt has 3 epochs, trainer.max_epochs is 1.*max_epochs 4 or more"),
        ({"max_steps": 6}, r"All steps are done: .*6 steps, trainer.max_steps is 6"),
        ({"max_epochs": 9, "max_steps": 5}, r"has 6 steps, trainer.max_steps is 5"),
        ({"max_time": "00:00:01:30"}, r"has taken 0:01:30, trainer.max_time is 00:00:01:30"),
        ({"max_time": timedelta(minutes=1)}, r"has taken 0:01:30, trainer.max_time is 0:01:00"),
        ({"max_time": {"minutes": 1}}, r"has taken 0:01:30, trainer.max_time is"),
        ({"fast_dev_run": True}, r"fast_dev_run tries the first batches.*--ckpt_path"),
    ],
)
def test_a_checkpoint_that_reached_a_limit_is_refused_with_both_numbers(trainer, told):
    with pytest.raises(SketchClipError, match=f"(?s){told}"):
        check_limits(trainer, "a.ckpt", content())


@pytest.mark.parametrize(
    "trainer",
    [
        {"max_epochs": 4},
        {"max_epochs": -1},
        {},
        {"max_epochs": None, "max_steps": 7},
        {"max_epochs": 4, "max_steps": -1, "max_time": "00:00:02:00", "limit_train_batches": 1},
        {"max_time": "two minutes"},  # Lightning says what it expects
    ],
)
def test_what_is_left_is_trained(trainer):
    check_limits(trainer, "a.ckpt", content())


@pytest.mark.parametrize(
    ("trainer", "told"),
    [
        ({"max_epochs": 0}, r"nothing to train: trainer.max_epochs is 0"),
        ({"max_steps": 0}, r"trainer.max_steps is 0"),
        ({"max_epochs": 2, "max_time": "00:00:00:00"}, r"trainer.max_time is 00:00:00:00"),
    ],
)
def test_limits_that_allow_no_batch_are_refused(trainer, told):
    with pytest.raises(SketchClipError, match=told):
        check_limits(trainer)


@pytest.mark.parametrize("lost", ["optimizer_states", "loops"])
def test_tensors_alone_are_not_resumed(lost):
    state = content()
    del state[lost]
    with pytest.raises(SketchClipError, match=rf"a\.ckpt holds no state .*{lost}.*last\.ckpt"):
        check_limits({"max_epochs": 9}, "a.ckpt", state)
    damaged = content() | {"loops": {"fit_loop": {"epoch_progress": None}}}
    with pytest.raises(SketchClipError, match=r"a\.ckpt: the state of its training is damaged"):
        check_limits({"max_epochs": 9}, "a.ckpt", damaged)


@pytest.fixture(scope="module")
def trained(tree, tiny_weights, tmp_path_factory):
    """A run of one epoch; read only."""
    folder = tmp_path_factory.mktemp("trained")
    given = ["--model", "ZeroShotPromptLearning", "--model.backbone", "tiny", *SHORT]
    given += ["--model.pretrained", str(tiny_weights), "--trainer.accelerator", "cpu"]
    given += ["--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split=random:2:0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["fit", *given, "--data.num_workers", "0", "--data.batch_size", "8"])
    return folder


@pytest.fixture
def fitted(trained, tmp_path, monkeypatch):
    """A run of one epoch under runs/ of the current folder."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs/experiment/version_0")


def refused(capsys, command: str, *given: object) -> str:
    """The one line of an error with status 2, of a command that says nothing of a training."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([command, *map(str, given)])
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert "trained" not in printed.out
    assert "test it" not in printed.out
    return printed.err


def test_a_finished_run_is_left_as_it_is(fitted, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    told = refused(capsys, "fit", "--ckpt_path", fitted)
    assert "last.ckpt has 1 epoch, trainer.max_epochs is 1" in told
    assert len(told.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_resumed_run_counts_its_own_steps(fitted, capsys):
    cli = main(["fit", "--ckpt_path", str(fitted), "--trainer.max_epochs", "2"])
    steps = cli.trainer.global_step
    assert f"trained  {steps // 2:,} steps, " in (told := capsys.readouterr().out)
    assert f"; {steps:,} steps with those of the checkpoint" in told
    assert f"test it  sketchclip test --ckpt_path {cli.trainer.log_dir}" in told


def test_a_training_that_was_over_at_its_start_is_none():
    with pytest.raises(SketchClipError, match="Nothing was trained"):
        TrainingReport().on_fit_end(SimpleNamespace(), SimpleNamespace())


def test_no_checkpoint_no_advice_to_test_it(fitted, capsys):
    config = ["fit", "--config", str(fitted / "config.yaml")]
    main([*config, "--trainer.fast_dev_run", "1"])
    told = capsys.readouterr().out
    assert "test it" not in told
    assert "1 step tried (trainer.fast_dev_run), without run folder" in told


def test_a_flag_of_the_model_lies_on_top_of_the_runs_config(fitted, capsys):
    again = main(["fit", "--ckpt_path", str(fitted), "--model.prompt_lr", "1e-5",
                  "--data.batch_size", "4", "--trainer.max_epochs=2"])  # fmt: skip
    assert again.datamodule.hparams["batch_size"] == 4
    assert again.trainer.current_epoch == 2
    for command in ("fit", "test"):
        told = refused(capsys, command, "--ckpt_path", fitted, "--model.margin=0.5")
        assert "model.margin: 0.5 here, 0.3 in the checkpoint" in told
        assert "leave these flags out" in told
    told = refused(capsys, "test", "--model.backbone=tiny-deep", "--model.layer_norm", "none")
    assert "model.backbone: 'tiny-deep' here, 'tiny' in the checkpoint" in told


def test_what_a_method_may_be_tested_by_is_no_conflict(fitted, monkeypatch):
    monkeypatch.setattr("sketchclip.methods.ZeroShotPromptLearning.test_settings", ("margin",))
    tested = main(["test", "--model.margin", "0.5"])  # of the last run
    assert tested.model.hparams.margin == 0.5


def test_a_setting_of_no_method_and_a_checkpoint_without_config(fitted, capsys):
    told = refused(capsys, "fit", "--model.margin", "0.5")
    assert "--model.margin is a setting of which method?" in told
    shutil.copy(fitted / "checkpoints" / "last.ckpt", "alone.ckpt")
    assert "alone.ckpt has no config.yaml" in refused(capsys, "test", "--ckpt_path", "alone.ckpt")


@pytest.mark.parametrize("command", ["test", "fit", "export", "index"])
def test_a_diverged_model_is_at_fault(command, fitted, tree, tmp_path, capsys):
    path = fitted / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: t * float("nan") for name, t in state.items()}
    torch.save(checkpoint, path)
    given = {
        "export": [str(fitted), "--to", "exported"],
        "index": [str(tree / "photo"), "-o", "idx", "--model", str(fitted)],
        "fit": ["--ckpt_path", str(fitted), "--trainer.max_epochs", "2"],
    }.get(command, ["--ckpt_path", str(fitted)])
    assert "its embeddings are NaN" in refused(capsys, command, *given)
    assert not (tmp_path / "exported").exists()
    assert not (tmp_path / "idx").exists()
