"""A moving average of weights, which is what a run validates, saves and tests."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from data_modules.ranges import CheckedArguments, Natural, NotAll
from sketchclip.checkpoint import own_names

_ENTRY = "weights_of_training"


class WeightAverage(CheckedArguments, Callback):
    """Averages what trains after each step of the optimizer: w' = decay w' + (1 - decay) w.

    Trainable parameters and running statistics of BatchNorm are averaged; frozen networks are
    neither copied nor saved. Whenever no batch is being trained on, the method holds the average:
    validation, ``last.ckpt`` and ``best.ckpt`` have it, and so has the method after training. A
    checkpoint keeps the weights of training beside it, for a run that goes on.

    Lightning's ``EMAWeightAveraging`` copies the method before what only training needs is made,
    and writes all of CLIP into each checkpoint.

    Args:
        decay: Part of the average that a step keeps, such as 0.999; None for no average.
        start: Steps before the average starts, as a copy of the weights then.
    """

    def __init__(self, decay: NotAll | None = None, start: Natural = 0) -> None:
        self.decay = decay
        self.start = start
        self._weights: dict[str, Tensor] = {}
        self._average: dict[str, Tensor] = {}
        self._shown = False  # whether the method holds the average, and _average its weights
        self._steps = 0
        self._saved: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Settings, for the checkpoint; none without an average."""
        return {} if self.decay is None else {"decay": self.decay, "start": self.start}

    @torch.no_grad()
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are, or from those of a checkpoint and its average."""
        if self.decay is None:
            return
        self._shown, self._steps = False, trainer.global_step
        self._weights = _averaged(pl_module)
        self._average = {name: value.clone() for name, value in self._weights.items()}
        if self._saved is not None:  # what was loaded into the method is the average
            for name, value in self._weights.items():
                value.copy_(self._saved[name])
            self._saved = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Train on with the weights of training."""
        self._show(False)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average after a step, of which accumulated batches have one."""
        if self.decay is None or trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        kept = self.decay if self._steps > self.start else 0.0
        for name, value in self._weights.items():
            self._average[name].lerp_(value.detach(), 1 - kept)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate the average."""
        self._show(True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average to what is computed and saved at the end of an epoch."""
        self._show(True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average to whoever uses the method."""
        self._show(True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep nothing of a method after its run."""
        self._weights, self._average, self._saved = {}, {}, None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write the weights of training beside the average."""
        if self._average:
            self._show(True)  # the checkpoint refers to the method's own tensors
            checkpoint[_ENTRY] = dict(self._average)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the weights of training, to go on with."""
        self._saved = checkpoint.get(_ENTRY) if self.decay is not None else None

    @torch.no_grad()
    def _show(self, average: bool) -> None:
        """Exchange weights and average, unless the method holds what is asked for."""
        if not self._average or self._shown == average:
            return
        self._shown = average
        for name, value in self._weights.items():
            before = value.clone()
            value.copy_(self._average[name])
            self._average[name].copy_(before)


def _averaged(module: LightningModule) -> dict[str, Tensor]:
    """Trainable parameters and running statistics of BatchNorm, each tensor once."""
    found: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if p.requires_grad}
    buffers, own = dict(module.named_buffers()), {*own_names(module)}
    for name, part in module.named_modules():
        if isinstance(part, _NormBase):
            keys = (f"{name}.running_mean", f"{name}.running_var")
            found |= {key: buffers[key] for key in keys if key in own}
    return found
