"""How fast a run computes: compiled networks, and the precision of products in training."""

from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from data_modules.ranges import CheckedArguments
from sketchclip.clip.compiling import Compile, compile_towers
from sketchclip.errors import printable


class Speed(CheckedArguments, Callback):
    """Compiles the networks that embed images, and sets the precision of fp32 products.

    Neither changes checkpoints. Validation and tests make their products in full fp32, whatever
    training does.

    Args:
        compile: Compile the networks with ``torch.compile`` in this mode; off where that is not
            possible, which is said. Best with --trainer.precision bf16-mixed on a GPU, and for
            runs of more than a few minutes: compiling takes a minute or so.
        matmul: Products of fp32 in training: highest for fp32, high for TF32 on GPUs that have it,
            medium for bf16. See ``torch.set_float32_matmul_precision``.
    """

    def __init__(
        self, compile: Compile = "off", matmul: Literal["highest", "high", "medium"] = "highest"
    ) -> None:
        self.compile: Compile = compile
        self.matmul = matmul

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile for a training; the networks are on their device by now."""
        self._compile(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile for a test."""
        self._compile(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile for embeddings."""
        self._compile(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let products of training be faster."""
        torch.set_float32_matmul_precision(self.matmul)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Full precision for what is measured."""
        torch.set_float32_matmul_precision("highest")
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._compile(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Back to training."""
        if trainer.state.fn == TrainerFn.FITTING:
            torch.set_float32_matmul_precision(self.matmul)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave other runs of the process as they were."""
        torch.set_float32_matmul_precision("highest")

    def _compile(self, trainer: Trainer, module: LightningModule) -> None:
        reason = compile_towers(module, module.device, self.compile)
        if reason is not None and trainer.is_global_zero:
            print(f"Not compiled: {printable(reason)}", flush=True)
