"""Losses of short trainings: logged often enough for a curve."""

from math import isfinite

from lightning.pytorch import Callback, LightningModule, Trainer

_POINTS = 10
"""Times that losses are logged in a training, if it has so many steps."""


class LogInterval(Callback):
    """Lowers ``trainer.log_every_n_steps`` where a training would log less than ten times.

    Each epoch logs at least once, too. An interval of 0, which logs nothing, stays, and every
    logger takes the same steps.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the interval, once the number of batches is known."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
        limits = [epoch, trainer.estimated_stepping_batches / _POINTS]
        steps = [int(limit) for limit in limits if isfinite(limit)]
        if every and steps:
            trainer.log_every_n_steps = max(1, min(every, *steps))  # type: ignore[attr-defined]
