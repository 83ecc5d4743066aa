"""Self-distillation of sketches: the first stage of TVT, whose sketch teacher is its run.

DINO (Caron et al., ICCV 2021) goes on from a network of photos, on the seen sketches without their
classes. With prototypes' cosines h(v) of a crop v, the student's s and those t of the teacher, its
moving average, centred by c, the moving average of t:

L = mean over crops u of the teacher and v != u of the student of
    CE(softmax((t(u) - c) / T), softmax(s(v) / 0.1))

Fit it, then name its run: ``--model.sketch_teacher TrainedEncoder --model.sketch_teacher.pretrained
RUN``.
"""

import copy
from typing import Any, ClassVar

import torch
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import BatchSpec, ImageBatch
from data_modules.ranges import Count, Natural, NonNegative, Part, SomePart
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder, load_prototypes
from sketchclip.errors import SketchClipError
from sketchclip.losses import dino_loss
from sketchclip.methods.schedules import cosine, planned_epochs, risen_temperature
from sketchclip.methods.warm_cosine import WarmCosineMethod
from sketchclip.nn import PrototypeHead, TeacherCentres, random_crops


class SelfDistillation(WarmCosineMethod):
    """Self-distilled embeddings of sketches (DINO); embeds by the teacher.

    Args:
        encoder: Encoder to train.
        prototype_head: File of DINO's head; null for one of random weights.
        prototypes: Number of prototypes.
        hidden: Numbers of the inner layers of the head.
        projection: Numbers of the projection that is compared with prototypes.
        crops: Large crops of an image, 2 or more; student and teacher see them.
        small_crops: Small crops, resized to the encoder's input, that the student sees as well.
        scale: Smallest and largest part of an image's area that a large crop has.
        small_scale: The same of a small one.
        momentum: Part of the teacher that a step keeps; it rises to 1 by a cosine.
        lr: Learning rate of AdamW; DINO has 5e-4 x batch size / 256.
        encoder_rate: Learning rate of the encoder as a factor of it.
        warmup_epochs: Epochs of the warm-up.
    """

    training_batch = BatchSpec(pairing="singles", sketch_ratio=1.0)
    training_only: ClassVar[tuple[str, ...]] = ("student.", "centres.", "prototype_head")
    backbone: ClassVar[tuple[str, ...]] = ("student.encoder.",)

    def __init__(
        self,
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vit_small_patch8_224.dino"),
        prototype_head: str | None = None,
        prototypes: Count = 65536,
        hidden: Count = 2048,
        projection: Count = 256,
        crops: Count = 2,
        small_crops: Natural = 0,
        scale: tuple[SomePart, SomePart] = (0.4, 1.0),
        small_scale: tuple[SomePart, SomePart] = (0.05, 0.4),
        momentum: Part = 0.996,
        lr: NonNegative = 5e-4,
        encoder_rate: NonNegative = 1.0,
        warmup_epochs: NonNegative = 5,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        width = self.build_encoder(encoder)
        if self.encoder.frozen or crops < 2:
            raise SketchClipError(
                f"SelfDistillation trains its encoder on crops of one image: expected one that is "
                f"not frozen, and 2 or more crops, found frozen={self.encoder.frozen} and "
                f"crops={crops}. Set --model.encoder.frozen false, --model.crops 2."
            )
        self.head = PrototypeHead(width, prototypes, hidden, projection)
        # The moving average of the student, which is what a checkpoint is loaded for.
        self.encoder.requires_grad_(False)
        self.head.requires_grad_(False)

    def build_training_parts(self) -> None:
        """Create the student, a copy that trains, and the centres."""
        if self.hparams.prototype_head is not None and not self._loaded:
            load_prototypes(self.head, self.hparams.prototype_head)
        parts = {"encoder": self.encoder, "head": self.head}
        self.student = nn.ModuleDict(copy.deepcopy(parts)).requires_grad_(True)
        self.centres = TeacherCentres(self.head.prototypes.out_features)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side by the teacher, (B, D)."""
        return self.encoder(images, side)

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """Loss of a batch of sketches."""
        settings, draws = self.hparams, self.draws(batch_idx)
        large = [random_crops(batch.image, draws, settings.scale) for _ in range(settings.crops)]
        small = [
            random_crops(batch.image, draws, settings.small_scale)
            for _ in range(settings.small_crops)
        ]
        with torch.no_grad():
            told = self.head(self.encoder(torch.cat(large), "sketch"))
        seen = self.student["encoder"](torch.cat(large + small), "sketch")
        said = self.student["head"](seen).chunk(len(large) + len(small))
        temperature = risen_temperature(self.current_epoch)
        losses = [
            dino_loss(logits, target, self.centres.means[0], temperature)
            for at, target in enumerate(told.chunk(len(large)))
            for other, logits in enumerate(said)
            if at != other
        ]
        loss = torch.stack(losses).mean()
        self.centres.update(told, 0)
        self.log_losses({"train/loss": loss}, len(batch.image))
        return loss

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Step, then move the teacher to the student."""
        steps = planned_epochs(self.trainer) * self.steps_of_an_epoch
        kept = cosine(self.global_step, steps, self.hparams.momentum, 1.0)
        super().optimizer_step(*args, **options)
        with torch.no_grad():
            teacher = [*self.encoder.parameters(), *self.head.parameters()]
            for mine, theirs in zip(teacher, self.student.parameters(), strict=True):
                mine.lerp_(theirs, 1 - kept)
