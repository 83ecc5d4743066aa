"""Schedules of earlier systems: learning rates, weight decay, weights of losses."""

import math
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from sketchclip.errors import SketchClipError


def decayed(rate: float, epoch: float, epochs: float, to: float = 1e-3) -> float:
    """Learning rate that decays exponentially, by a factor of ``to`` in ``epochs`` (SAKE, TCN).

    >>> decayed(1e-4, 0, 20), round(decayed(1e-4, 20, 20), 12)
    (0.0001, 1e-07)
    """
    return rate * float(to ** (epoch / epochs))


def planned_epochs(trainer: Trainer) -> int:
    """Epochs of a run, for schedules over all of them.

    Raises:
        SketchClipError: If the run has no last epoch.
    """
    epochs = trainer.max_epochs
    if epochs is None or epochs < 0:
        raise SketchClipError(
            f"trainer.max_epochs is {epochs}: the learning rate falls over the epochs of the run, "
            "so that their number must be known. Expected 1 or more; --trainer.max_steps may end "
            "the run before."
        )
    return max(epochs, 1)


def linear(epoch: int, epochs: int, to: float) -> float:
    """Factor of a rate that falls to ``to`` between 10 % and 90 % of the epochs (SEM-PCYC).

    >>> [linear(epoch, 100, 0.6) for epoch in (0, 10, 50, 90, 99)]
    [1.0, 1.0, 0.8, 0.6, 0.6]
    """
    part = (epoch / epochs - 0.1) / 0.8
    return 1.0 - (1.0 - to) * min(max(part, 0.0), 1.0)


def decaying(optimizer: torch.optim.Optimizer, epochs: float) -> OptimizerLRScheduler:
    """An optimizer whose rates decay each epoch, to a thousandth in ``epochs``."""

    def scale(epoch: int) -> float:
        return decayed(1.0, epoch, epochs)

    return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, scale)]


def warmed_up(
    optimizer: torch.optim.Optimizer, trainer: Trainer, part: float
) -> OptimizerLRScheduler:
    """An optimizer whose rates rise in a straight line over a part of the steps, then stay (MARL).

    Args:
        optimizer: With the rates that it is to have.
        trainer: Decides how many steps there are.
        part: Part of the steps, 0 to 1.
    """
    planned_epochs(trainer)
    steps = max(int(part * trainer.estimated_stepping_batches), 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / steps)
    )
    each_step: Any = {"scheduler": schedule, "interval": "step"}
    return [optimizer], [each_step]


def cosine(step: float, steps: float, start: float, end: float, warmup: float = 0) -> float:
    """Value that rises in a straight line from 0 to ``start``, then follows a half cosine (DINO).

    The last step of the warm-up and the first one after it have ``start``.

    Args:
        step: Number of the step, from 0.
        steps: Steps in all; its last one is just before ``end``, which the next would have.
        start: Value after the warm-up.
        end: Value at the end.
        warmup: Steps of the warm-up.

    >>> [round(cosine(step, 6, 1.0, 0.0, warmup=2), 2) for step in range(7)]
    [0.0, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup:
        return start * step / max(warmup - 1, 1)
    part = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def risen(step: float, wait: float, until: float, to: float) -> float:
    """Weight that is 0 at first, then rises in a half cosine and stays (TVT).

    Args:
        step: Number of the step, from 0.
        wait: Steps at 0.
        until: Step from which it stays.
        to: Value then.

    >>> [round(risen(step, 1, 5, 2.0), 2) for step in range(7)]
    [0.0, 0.0, 0.29, 1.0, 1.71, 2.0, 2.0]
    """
    return 0.0 if step < wait else cosine(step - wait, until - wait, 0.0, to)


def risen_temperature(epoch: int, epochs: int = 5, start: float = 0.04, to: float = 0.07) -> float:
    """Temperature of DINO's teacher: from ``start`` to ``to`` in equal steps, one an epoch.

    >>> [round(risen_temperature(epoch), 4) for epoch in (0, 3, 4, 9)]
    [0.04, 0.0625, 0.07, 0.07]
    """
    return to if epoch >= epochs - 1 else start + (to - start) * epoch / (epochs - 1)
