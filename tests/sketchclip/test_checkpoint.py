"""Checkpoints: small, complete, resumable, and refused where they do not fit."""

import json
import re
from pathlib import Path

import pytest
import torch

from sketchclip.checkpoint import CompactCheckpointIO, check_state, trainable_names
from sketchclip.errors import SketchClipError

FAST = ("--model.prompt_lr", "1e-2", "--model.ln_lr", "1e-3")


def last(cli) -> Path:
    return Path(cli.trainer.log_dir) / "checkpoints" / "last.ckpt"


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.fixture
def fitted(run):
    return run("fit", "--trainer.max_epochs", "1", *FAST)


def test_holds_exactly_the_trained_tensors(fitted):
    checkpoint = load(last(fitted))  # weights_only: nothing in it needs unpickling
    assert set(checkpoint["state_dict"]) == set(trainable_names(fitted.model))
    for name, value in checkpoint["state_dict"].items():
        assert torch.equal(value, fitted.model.get_parameter(name)), name
    assert checkpoint["backbone"] == fitted.model.identity
    assert checkpoint["backbone"]["name"] == "tiny"
    moments = checkpoint["optimizer_states"][0]["state"]
    assert len(moments) == len(checkpoint["state_dict"])


def test_a_test_restores_what_was_trained(fitted, run):
    tested = run("test", *FAST, "--ckpt_path", str(last(fitted)))
    for name in trainable_names(fitted.model):
        assert torch.equal(tested.model.get_parameter(name), fitted.model.get_parameter(name)), name


def equal(a, b) -> bool:
    """Equality of nested containers, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


ZERO_SHOT, FINE_GRAINED = "ZeroShotPromptLearning", "FineGrainedPromptLearning"


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        (ZERO_SHOT, []),
        (ZERO_SHOT, ["--model.negatives", "in_batch"]),
        (FINE_GRAINED, ["--data.batch_size", "4", "--data.classes_per_batch", "2"]),
    ],
    ids=["random negatives", "negatives of the batch", "patch shuffling"],
)
def test_resumed_run_equals_an_uninterrupted_one(run, method, flags):
    def fit(*more: str):
        return run("fit", *flags, *more, *FAST, method=method)

    whole = load(last(fit("--trainer.max_epochs", "4")))
    half = last(fit("--trainer.max_epochs", "2"))
    resumed = fit("--trainer.max_epochs", "4", "--ckpt_path", str(half))
    assert resumed.trainer.current_epoch == 4
    result, middle = load(last(resumed)), load(half)
    for part in ("state_dict", "optimizer_states", "epoch", "global_step"):
        assert equal(result[part], whole[part]), part
        assert not equal(middle[part], whole[part]), part  # the comparison can fail


@pytest.mark.parametrize(
    ("method", "flags"),
    [
        (ZERO_SHOT, ["--model.negatives", "in_batch"]),
        (FINE_GRAINED, ["--data.batch_size", "4", "--data.classes_per_batch", "2"]),
    ],
    ids=["negatives of the batch", "patch shuffling"],
)
def test_a_run_resumed_within_an_epoch_draws_what_it_would_have(run, method, flags):
    def fit(*more: str):
        return run("fit", *flags, *more, *FAST, method=method)

    # last.ckpt is written at the end of an epoch; this one after the first of its two steps.
    each = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3"]
    each += ["--trainer.callbacks.save_top_k=-1", "--trainer.callbacks.filename={step}"]
    whole = fit("--trainer.max_epochs", "2", *each)
    assert whole.trainer.num_training_batches == 2
    middle = last(whole).with_name("step=3.ckpt")
    resumed = fit("--trainer.max_epochs", "2", "--ckpt_path", str(middle))
    result, expected = load(last(resumed)), load(last(whole))
    assert load(middle)["epoch"] == 1
    cost = json.loads((Path(resumed.trainer.log_dir) / "cost.json").read_text())
    assert cost["batches"] == 1
    assert 0 < cost["seconds"] < 60
    assert result["global_step"] == expected["global_step"] == 4
    for part in ("state_dict", "optimizer_states"):
        assert equal(result[part], expected[part]), part


@pytest.mark.slow
def test_vit_b32_checkpoint_is_small_with_and_without_optimiser_state(vit_fit, tmp_path):
    path = Path(vit_fit[-1])
    checkpoint = load(path)
    moments = checkpoint["optimizer_states"][0]["state"].values()
    assert sum(v.numel() for v in checkpoint["state_dict"].values()) == 84_480
    assert sum(m["exp_avg"].numel() + m["exp_avg_sq"].numel() for m in moments) == 2 * 84_480
    # Also says that every tensor got a gradient, in all twelve layers of both towers.
    assert all(m["exp_avg"].any() and m["exp_avg_sq"].any() for m in moments)
    assert path.stat().st_size < 1_000_000
    del checkpoint["optimizer_states"]
    CompactCheckpointIO().save_checkpoint(checkpoint, tmp_path / "weights.ckpt")
    assert 4 * 84_480 * 0.8 < (tmp_path / "weights.ckpt").stat().st_size < 400_000


def test_another_backbone_is_refused_by_name(fitted, make_method, make_clip, tmp_path):
    checkpoint = load(last(fitted))
    make_method().on_load_checkpoint(checkpoint)  # its own is not
    other = make_method(backbone="tiny-deep", pretrained="random")
    with pytest.raises(SketchClipError, match=r"this model is 'tiny-deep'.*has 'tiny'"):
        other.on_load_checkpoint(checkpoint)
    # Same name, other weights.
    torch.save(make_clip("tiny", seed=1).state_dict(), tmp_path / "other.pt")
    other = make_method(pretrained=str(tmp_path / "other.pt"))
    with pytest.raises(SketchClipError, match="another backbone"):
        other.on_load_checkpoint(checkpoint)


def test_checkpoint_of_another_program_is_refused(make_method):
    with pytest.raises(SketchClipError, match="no backbone entry"):
        make_method().on_load_checkpoint({"state_dict": {}})


def test_missing_unexpected_and_misshapen_tensors_are_named(make_method):
    method = make_method()
    state = {n: method.get_parameter(n).detach() for n in trainable_names(method)}
    check_state(method, state)
    state["photo_tower.visual.extra"] = torch.zeros(1)
    del state["sketch_tower.visual.ln_pre.weight"]
    state["adaptation.photo"] = torch.zeros(5, 32)
    with pytest.raises(SketchClipError) as caught:
        check_state(method, state)
    message = str(caught.value)
    assert re.search(r"1 missing: sketch_tower\.visual\.ln_pre\.weight", message)
    assert re.search(r"1 unexpected: photo_tower\.visual\.extra", message)
    assert re.search(r"1 of another shape: adaptation\.photo \(5, 32\) != \(3, 32\)", message)
    assert "config.yaml" in message


@pytest.mark.parametrize("command", ["test", "fit"])
def test_conflicting_flags_stop_instead_of_being_replaced(fitted, run, capsys, command):
    with pytest.raises(SystemExit) as stopped:
        run(command, *FAST, "--model.adaptation.n_prompts", "5", "--ckpt_path", str(last(fitted)))
    assert stopped.value.code == 2
    assert "model.adaptation.n_prompts: 5 here, 3 in the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["test", "fit"])
def test_another_adaptation_is_refused_by_name(fitted, run, capsys, command):
    other = ["--model.adaptation", "CommonPrompts", "--model.text_head", "LearnedContext"]
    with pytest.raises(SystemExit) as stopped:
        run(command, *FAST, *other, "--ckpt_path", str(last(fitted)))
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "model.adaptation: 'CommonPrompts' here, 'IndependentPrompts' in the checkpoint" in told
    assert "model.text_head: 'LearnedContext' here, 'TemplateText' in the checkpoint" in told


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    writer, path = CompactCheckpointIO(), tmp_path / "a" / "last.ckpt"
    writer.save_checkpoint({"x": torch.arange(3)}, path)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    with pytest.raises(OSError, match="No space"):
        writer.save_checkpoint({"x": torch.zeros(3)}, path)
    assert load(path)["x"].tolist() == [0, 1, 2]


def test_the_weights_file_may_have_moved(fitted, run, tiny_weights, tmp_path):
    moved = tmp_path / f"moved{tiny_weights.suffix}"
    moved.write_bytes(tiny_weights.read_bytes())
    tested = run("test", *FAST, "--model.pretrained", str(moved), "--ckpt_path", str(last(fitted)))
    assert tested.model.identity["pretrained"] == str(moved)
