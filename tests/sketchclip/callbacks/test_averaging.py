"""The moving average of weights: its values, what is saved of it, and a run that goes on."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from sketchclip.cli import main

SHORT = ("--grids.queries", "0", "--data.batch_size", "4", "--trainer.limit_train_batches", "3")
TOY = "tests.helpers.toys.BatchNormMethod"
DECAY = 0.5


class Steps(Callback):
    """Keeps the weights before the first step and after each."""

    seen: list[dict[str, torch.Tensor]]

    def __init__(self) -> None:
        type(self).seen = []

    def on_train_batch_start(self, trainer, pl_module, *_):
        if not self.seen:
            self.seen.append(held(pl_module))

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.seen.append(held(pl_module))


def held(module):
    tensors = {n: p for n, p in module.named_parameters() if p.requires_grad}
    tensors |= {n: b for n, b in module.named_buffers() if "running_" in n}
    return {name: value.detach().clone() for name, value in tensors.items()}


def checkpoint(cli):
    path = Path(cli.trainer.log_dir) / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True), path


@pytest.mark.parametrize(("method", "start"), [("ZeroShotPromptLearning", 0), (TOY, 2)])
def test_checkpoints_and_the_model_hold_the_average(run, options, method, start):
    if method == TOY:  # it has no backbone
        del options[:4]
    cli = run(
        *("fit", *SHORT, "--trainer.max_epochs", "2", "--ema.decay", DECAY, "--ema.start", start),
        *("--trainer.callbacks", f"{__name__}.Steps"),
        method=method,
    )
    first, *steps = Steps.seen
    assert len(steps) == 6
    average = first
    for number, weights in enumerate(steps, 1):
        kept = DECAY if number > start else 0.0
        average = {n: kept * average[n] + (1 - kept) * weights[n] for n in average}
    saved, path = checkpoint(cli)
    assert saved["weights_of_training"].keys() == average.keys()
    moved = 0
    for name, expected in average.items():
        torch.testing.assert_close(saved["state_dict"][name], expected)
        torch.testing.assert_close(saved["weights_of_training"][name], steps[-1][name])
        torch.testing.assert_close(cli.model.state_dict()[name], expected)
        moved += not torch.equal(expected, steps[-1][name])
    assert moved
    tested = run("test", "--ckpt_path", str(path), "--ema.decay", DECAY, method=method)
    for name, expected in average.items():
        torch.testing.assert_close(tested.model.state_dict()[name], expected)


def test_a_run_that_goes_on_ends_as_one_without_interruption(run, options):
    short = ("fit", *SHORT, "--ema.decay", "0.7")
    whole, _ = checkpoint(run(*short, "--trainer.max_epochs", "2"))
    _, path = checkpoint(run(*short, "--trainer.max_epochs", "1"))
    keep = options[options.index("--trainer.logger") :]
    on, _ = checkpoint(main(["fit", "--ckpt_path", str(path), "--trainer.max_epochs", "2", *keep]))
    for entry in ("state_dict", "weights_of_training"):
        assert on[entry].keys() == whole[entry].keys()
        for name, value in whole[entry].items():
            torch.testing.assert_close(on[entry][name], value, rtol=0, atol=0)


def test_accumulated_batches_are_one_step(run):
    accumulated = ("--trainer.accumulate_grad_batches", "3", "--trainer.gradient_clip_val", "0.1")
    cli = run(
        *("fit", *SHORT, *accumulated, "--trainer.max_epochs", "1", "--ema.decay", DECAY),
        *("--trainer.callbacks", f"{__name__}.Steps"),
    )
    assert cli.trainer.global_step == 1
    first, last = Steps.seen[0], Steps.seen[-1]
    saved, _ = checkpoint(cli)
    for name, value in first.items():
        torch.testing.assert_close(saved["state_dict"][name], DECAY * value + DECAY * last[name])


def test_without_a_decay_nothing_is_kept(run):
    saved, _ = checkpoint(run("fit", *SHORT, "--trainer.max_epochs", "1"))
    assert "weights_of_training" not in saved
    assert "WeightAverage" not in saved["callbacks"]
