"""The base of methods with DINO's training: AdamW, warm-up, and cosines over the steps of a run."""

import math
from typing import Any, ClassVar

import torch
from torch import nn

from sketchclip.methods.encoded import EncodedMethod
from sketchclip.methods.schedules import cosine, planned_epochs


class WarmCosineMethod(EncodedMethod):
    """Trains with AdamW in four groups: encoder and heads, each with and without weight decay.

    The rate rises to ``lr`` over ``warmup_epochs``, at most a tenth of the epochs, then falls to
    1e-6 by a cosine; the encoder has ``encoder_rate`` times it. Biases and other parameters of one
    dimension do not decay; the decay of the others goes from 0.04 to 0.4 by a cosine. A subclass
    has these three settings. (Code of DINO and TVT.)
    """

    sets_rates = True
    backbone: ClassVar[tuple[str, ...]] = ("encoder.",)
    """Prefixes of the parameters that count as the encoder's."""

    @property
    def steps_of_an_epoch(self) -> int:
        """Steps of the optimiser in an epoch."""
        trainer = self.trainer
        return math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)

    def progress(self) -> tuple[int, int]:
        """Step of the schedule and its epochs; they are those of the run."""
        return self.global_step, planned_epochs(self.trainer)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; each step sets its rates and its decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                key = (name.startswith(self.backbone), parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        given = [
            {"params": found, "scale": self.hparams.encoder_rate if inside else 1.0, "decays": on}
            for (inside, on), found in sorted(groups.items(), key=lambda item: item[0])
        ]
        return torch.optim.AdamW(given, self.hparams.lr, weight_decay=0.0)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Set rate and weight decay of the step."""
        super().on_before_optimizer_step(optimizer)
        (step, epochs), length = self.progress(), self.steps_of_an_epoch
        warmup = min(self.hparams.warmup_epochs, epochs / 10) * length
        highest = self.hparams.lr
        rate = cosine(step, epochs * length, highest, min(1e-6, highest), warmup)
        decay = cosine(step, epochs * length, 0.04, 0.4)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * rate
            group["weight_decay"] = decay if group["decays"] else 0.0
