"""Checkpoint of the best epoch on the validation classes, beside that of the last one."""

import shlex
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from sketchclip.callbacks.preemption import Preemption


class BestCheckpoint(ModelCheckpoint):
    """Writes ``checkpoints/best.ckpt`` when the headline metric of validation is its highest.

    Results are those of the last epoch unless ``--ckpt_path best`` is given. A run without
    validation has none.
    """

    def __init__(self) -> None:
        super().__init__(
            filename="best",
            monitor="val/mAP@all",
            mode="max",
            save_top_k=1,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the metric."""
        self.monitor = f"val/{pl_module.headline}"
        super().setup(trainer, pl_module, stage)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this epoch is the best one."""
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this validation is the best one, also within an epoch."""
        if self.monitor in trainer.callback_metrics:
            super().on_validation_end(trainer, pl_module)


def how_to_resume(trainer: Trainer) -> str:
    """Say how a training that was interrupted goes on; nothing of other commands."""
    if trainer.state.fn != TrainerFn.FITTING:
        return ""
    for callback in trainer.checkpoint_callbacks:
        folder = getattr(callback, "dirpath", None)
        last = Path(folder) / "last.ckpt" if folder else None
        if last is not None and last.is_file():
            asked = [each for each in trainer.callbacks if isinstance(each, Preemption)]  # type: ignore[attr-defined]
            if any(each.ended for each in asked):
                return f"All is trained, into {last}."
            whole = all(each.saved != last for each in asked)
            what = "epochs that ended" if whole else "batches so far"
            return (
                f"All {what} are in {last}. Go on from there: sketchclip fit --ckpt_path "
                f"{shlex.quote(str(last))}"
            )
    if trainer.ckpt_path:
        return f"No further epoch had ended: go on from {trainer.ckpt_path} again."
    return "No epoch had ended, so no checkpoint was written: start again."
