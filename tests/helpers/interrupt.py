"""A run that ends before its time."""

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
