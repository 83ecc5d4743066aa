"""A run that ends before its time."""

import os
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class StopAfterOneEpoch(Callback):
    """Ends a run as a person does, with more epochs to go: schedules know all of them."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = True


class PressCtrlC(Callback):
    """Interrupts a run as the key does, when an epoch or a test begins.

    Args:
        epoch: The epoch, from 0.
    """

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise KeyboardInterrupt

    on_predict_epoch_start = on_test_epoch_start


class SendSignal(Callback):
    """Sends this process a signal in the middle of a batch, as a cluster does.

    Args:
        number: The signal.
        step: The batch, counted over all epochs from 0.
        process: Rank of the only process that is told.
        group: Tell all processes of its group, such as the command that started it.
    """

    def __init__(
        self, number: int = signal.SIGUSR1, step: int = 0, process: int = 0, group: bool = False
    ) -> None:
        self.number, self.step, self.process = number, step, process
        self.target, self.send = (0, os.killpg) if group else (os.getpid(), os.kill)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.process:
            self.send(self.target, self.number)
