"""Learning-rate schedules of earlier systems."""

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler


def decayed(rate: float, epoch: float, epochs: float, to: float = 1e-3) -> float:
    """Learning rate that decays exponentially, by a factor of ``to`` in ``epochs`` (SAKE, TCN).

    >>> decayed(1e-4, 0, 20), round(decayed(1e-4, 20, 20), 12)
    (0.0001, 1e-07)
    """
    return rate * float(to ** (epoch / epochs))


def decaying(optimizer: torch.optim.Optimizer, epochs: float) -> OptimizerLRScheduler:
    """An optimizer whose rates decay each epoch, to a thousandth in ``epochs``."""

    def scale(epoch: int) -> float:
        return decayed(1.0, epoch, epochs)

    return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, scale)]
