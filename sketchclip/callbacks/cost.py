"""Cost of a training run, written beside its losses: parameters, speed, memory."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from data_modules.batch import ImageBatch
from sketchclip.checkpoint import count_parameters
from sketchclip.runs.environment import device_name
from sketchclip.runs.folder import COST, goes_on_in_place

_SUMS = ("seconds", "batches", "images")


class TrainingCost(Callback):
    """Writes ``cost.json`` when a training ends.

    Training alone is timed: loading of batches and steps, without validation and without what a
    method computes before the first epoch. A run that goes on in its own
    folder tells of all its parts, one that goes on in a new folder of its own part.
    """

    def __init__(self) -> None:
        self.seconds = self._since = 0.0
        self.batches = self.images = 0
        self._earlier: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """Cost so far, for checkpoints."""
        return {name: getattr(self, name) for name in _SUMS}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the cost of the part that a checkpoint was written by.

        Args:
            state_dict: State of that part.
        """
        self._earlier = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run that goes on within an epoch does not start one."""
        folder = trainer.log_dir  # a collective call: every process must make it
        if folder is not None and goes_on_in_place(trainer.ckpt_path, Path(folder)):
            for name, value in self._earlier.items():
                setattr(self, name, value)
        self._since = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images of the batch and its time."""
        self._add()
        self.batches += 1
        if isinstance(batch, ImageBatch):
            self.images += len(batch.image)
        else:
            inputs = (getattr(batch, name, None) for name in ("sketch", "photo", "negative"))
            self.images += sum(len(one) for one in inputs if one is not None)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock, once the device has done what is queued."""
        if self._since:
            _finish(trainer)
            self._add()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock where no validation has."""
        _finish(trainer)
        self._add()

    def _add(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the cost, images and speed being those of all processes together."""
        folder = trainer.log_dir  # a collective call: every process must make it
        known = trainer.loggers and folder is not None and self.batches
        if not trainer.is_global_zero or not known or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        trained, total = count_parameters(pl_module)
        images = self.images * trainer.world_size  # every process has as many batches
        cost = {
            "trainable_parameters": trained,
            "parameters": total,
            "batches": self.batches,
            "images": images,
            "seconds": self.seconds,
            "seconds_per_epoch": self.seconds / self.batches * trainer.num_training_batches,
            "images_per_second": images / self.seconds,
            "peak_memory_bytes": _peak_memory(trainer),
            "processes": trainer.world_size,
            "device": device_name(trainer),
            "threads": torch.get_num_threads(),
        }
        target = Path(str(folder)) / COST
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(cost, indent=2) + "\n", encoding="utf-8")


def _finish(trainer: Trainer) -> None:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()


def _peak_memory(trainer: Trainer) -> int | None:
    """Largest memory so far in bytes: of the GPU, else resident of the process; None if unknown."""
    if trainer.strategy.root_device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
