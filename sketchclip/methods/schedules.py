"""Learning-rate schedules of earlier systems."""

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
