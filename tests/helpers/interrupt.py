"""A run that ends before its time."""

from lightning.pytorch import Callback, LightningModule, Trainer


class StopAfterOneEpoch(Callback):
    """Ends a run as a person does, with more epochs to go: schedules know all of them."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = True
