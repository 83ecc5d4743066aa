"""A training that is told to end writes where it is, so that nothing is trained twice."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sketchclip.runs.folder import LAST
from sketchclip.system.signals import held, hold, release


class Preemption(Callback):
    """Answers SIGTERM and SIGUSR1 between two batches, with ``checkpoints/last.ckpt``.

    The checkpoint holds the place within the epoch: a run that goes on from it trains on the
    batches that are left. A validation is not cut: a signal at that time is answered after the
    next batch. All processes stop after the same batch, whichever of them was told. A second
    signal, and Ctrl-C, stop at once.
    """

    def __init__(self) -> None:
        self.saved: Path | None = None
        """Checkpoint that was written for the signal."""
        self.ended = False
        """Whether all was trained when the signal was answered."""
        self._processes: Any = None
        self._stops = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen from here on; before, there is nothing to write."""
        self.saved, self.ended, self._stops = None, False, 0
        hold()
        if trainer.world_size > 1 and dist.is_initialized():
            self._processes = dist.new_group(backend="gloo")  # CPUs alone: no GPU is waited for

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if any process was told to end, unless gradients of several batches add up."""
        number, done = self._told(), batch_idx + 1
        last = done == trainer.num_training_batches
        if not number or (done % trainer.accumulate_grad_batches and not last):
            return
        savers = trainer.checkpoint_callbacks
        folders = [one.dirpath for one in savers if isinstance(one, ModelCheckpoint)]
        if folders and folders[0] and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = Path(folders[0]) / f"{LAST}.ckpt"
            trainer.save_checkpoint(path)
            self.saved = path
        self._stops = number

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop, after Lightning has logged the batch that was saved and before the next is trained.

        Raises:
            KeyboardInterrupt: Of the kind of the signal.
        """
        if self._stops:
            release(self._stops)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for one batch more: from before a validation, a run would go on after it."""
        self._stops = 0

    def _told(self) -> int:
        number = held() or 0
        if self._processes is None:
            return number
        told = torch.tensor([number])
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self._processes)
        return int(told)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Answer what came after the last batch: the job may have more to do."""
        self.ended = True
        release(held())

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave further signals to the command."""
        release()
