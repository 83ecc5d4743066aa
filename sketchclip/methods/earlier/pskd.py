"""ZS-PSKD: prototype-based selective knowledge distillation, Wang et al., ACM MM 2022.

A teacher and a student of TVT's network, with a projection f of the fusion embedding on the sphere
and a linear layer over it, whose rows P are the prototypes of the seen classes. The teacher learns
the classes in the first epochs, and then stands still; the student learns in all others:

L = CE(P f + b, y), smoothed
    + lambda_prototype CE(rows P_y f_j over the samples j of a side, i), smoothed
    + lambda_distillation softCE(P f + b, softmax(t cos(P, P)_y)), t the teacher's logits.

Retrieval compares the student's fusion embeddings by the cosine. Released code:
acmmm22anonymous/PSKD.
"""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import SIDES, ImageBatch
from data_modules.ranges import Count, Natural, NonNegative, Part, Positive
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import (
    correlated_distillation_loss,
    instance_to_prototype_loss,
    smoothed_cross_entropy,
)
from sketchclip.methods.schedules import planned_epochs
from sketchclip.methods.two_tokens import TwoTokenMethod
from sketchclip.nn import Projection

_NETWORK = ("encoder", "tokens", "project", "classes")


class PSKD(TwoTokenMethod):
    """Prototypes that classify, find their samples and weigh what a teacher says (ZS-PSKD).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder of both sides; a ViT that trains takes a second token, see TwoTokens.
        bits: Length of binary codes by iterative quantisation; null for real embeddings.
        hidden: Numbers of the inner layers of the projection.
        projection: Numbers of f.
        teacher_epochs: First epochs, which the teacher learns in; at most half of all. A run of a
            single epoch has no teacher.
        lambda_prototype: Weight of the loss between prototypes and samples.
        lambda_distillation: Weight of the loss on the teacher's logits.
        smoothing: Part of a label that the other classes have.
        photos_per_sketch: Photos in a batch for each sketch.
        lr: Learning rate of AdamW; TVT's 5e-4 x batch size / 256, at 256.
        encoder_rate: Learning rate of the encoder as a factor of it.
        warmup_epochs: Epochs of the warm-up, at most a tenth of those that a network learns in.
    """

    training_only: ClassVar[tuple[str, ...]] = ("project.", "classes.", "teacher.")
    backbone = (*TwoTokenMethod.backbone, *(f"teacher.{n}" for n in TwoTokenMethod.backbone))

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vit_small_patch8_224.dino"),
        bits: Count | None = None,
        hidden: Count = 2048,
        projection: Count = 256,
        teacher_epochs: Natural = 5,
        lambda_prototype: NonNegative = 1.0,
        lambda_distillation: NonNegative = 1.0,
        smoothing: Part = 0.1,
        photos_per_sketch: Positive = 2.0,
        lr: NonNegative = 5e-4,
        encoder_rate: NonNegative = 0.1,
        warmup_epochs: NonNegative = 5,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        self.build_tokens(encoder, False, bits, photos_per_sketch)

    def build_training_parts(self) -> None:
        """Create the heads, and the teacher, which starts as the student does."""
        settings = self.hparams
        self.project = Projection(self.encoder.dim, settings.hidden, settings.projection)
        self.classes = nn.Linear(settings.projection, len(settings.class_names))
        parts = copy.deepcopy({name: getattr(self, name) for name in _NETWORK})
        if self.encoder.frozen:
            parts["encoder"] = self.encoder
        self.teacher = nn.ModuleDict(parts)

    @property
    def teacher_epochs(self) -> int:
        """Epochs of the run in which the teacher learns."""
        half: int = planned_epochs(self.trainer) // 2
        return min(self.hparams.teacher_epochs, half)

    def progress(self) -> tuple[int, int]:
        """Step and epochs of the network that learns: the schedules start again for the student."""
        first, step = self.teacher_epochs, self.global_step
        if self.current_epoch < first:
            return step, first
        return step - first * self.steps_of_an_epoch, planned_epochs(self.trainer) - first

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """Loss of a batch of single sketches and photos, the teacher's or the student's."""
        settings, label, sides = self.hparams, batch.label, batch.side
        assert sides is not None  # by the pairing
        learns = self.current_epoch < self.teacher_epochs
        with torch.set_grad_enabled(learns):
            told = self._classify(self.teacher, batch)[1]
        if learns:
            loss = smoothed_cross_entropy(told, label, settings.smoothing)
            logs = {"train/classes": loss}
        else:
            f, logits = self._classify(self, batch)
            prototype = f.new_zeros(())
            for at in range(len(SIDES)):
                own = (f[sides == at], label[sides == at])
                found = instance_to_prototype_loss(self.classes.weight, *own, settings.smoothing)
                prototype = prototype + len(own[0]) / len(f) * found
            taught = settings.lambda_distillation * float(self.teacher_epochs > 0)
            distilled = correlated_distillation_loss(logits, told, self.classes.weight, label)
            logs = {
                "train/classes": smoothed_cross_entropy(logits, label, settings.smoothing),
                "train/prototype": settings.lambda_prototype * prototype,
                "train/distillation": taught * distilled,
            }
            loss = torch.stack([*logs.values()]).sum()
        self.log_losses(logs | {"train/loss": loss}, len(label))
        # DistributedDataParallel expects a gradient in every parameter, if only of zeros.
        return loss + 0.0 * torch.stack([p.sum() for p in self._resting()]).sum()

    def _classify(self, network: nn.Module, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Projections (B, projection) and logits (B, C) by the teacher or the method itself."""
        encoder, tokens, project, classes = (getattr(network, name) for name in _NETWORK)
        f = project(tokens(encoder, batch.image, batch.side, batch.features)[:, 0])
        return f, classes(f)

    def _resting(self) -> list[nn.Parameter]:
        """Trainable parameters of the network that does not learn in this epoch."""
        student = self.current_epoch < self.teacher_epochs
        named = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        return [p for name, p in named if name.startswith("teacher.") != student]

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Leave the network that does not learn as it is, without decay or moments."""
        super().on_before_optimizer_step(optimizer)
        for parameter in self._resting():
            parameter.grad = None
