"""ZS-TVT: three-way vision transformer, Tian et al., AAAI 2022.

One network for both sides gives a distill embedding d and a fusion embedding e of an image x. Each
side k has a frozen teacher t_k: of photos the pretrained network, of sketches one that was
self-distilled on them (SelfDistillation). With a projection f of e on the sphere, for each side:

L_k = CE(softmax((h(t_k(x)) - c_k) / T), softmax(s(d) / 0.1)) + CE(a(f), y), smoothed
      + w [lambda_uniform log mean exp(-2 |f_i - f_j|^2) + mean over classes |m_k - m_l|^2]

with prototypes' cosines h and s, moving averages c_k of h and m_k of a class's f (l is the other
side), T rising from 0.04 to 0.07 in five epochs, and w = 0 in the first epoch. L is the mean of L_k
over the images of a batch. Retrieval compares e by the cosine. Released code: CFM-MSG/Code_TVT.
"""

import copy
from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import SIDES, ImageBatch
from data_modules.ranges import Count, NonNegative, Part, Positive
from data_modules.transforms import Side
from sketchclip.encoders import ImageEncoder, TimmEncoder, frozen_copy, load_prototypes
from sketchclip.errors import SketchClipError
from sketchclip.losses import (
    centre_alignment_loss,
    dino_loss,
    smoothed_cross_entropy,
    uniformity_loss,
)
from sketchclip.methods.schedules import risen, risen_temperature
from sketchclip.methods.two_tokens import TwoTokenMethod
from sketchclip.nn import ClassCentres, Projection, PrototypeHead, TeacherCentres


class TVT(TwoTokenMethod):
    """A fusion and a distill token, a teacher for each side, and sides that lie alike (ZS-TVT).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder of both sides; a ViT that trains takes a second token, see TwoTokens.
        sketch_teacher: TrainedEncoder of a run of SelfDistillation, or any other encoder, of as
            many numbers; null for the pretrained network, which then teaches both sides.
        bits: Length of binary codes by iterative quantisation; null for real embeddings.
        distill: prototypes for DINO's loss; cosine for 1 - cos(d, t_k(x)), without any head.
        prototype_head: File of DINO's head, of the photo teacher; null for that of the sketch
            teacher's run, else one of random weights, which stay. The student starts from it.
        prototypes: Number of prototypes of a random head.
        hidden: Numbers of the inner layers of heads.
        projection: Numbers of f, and of what is compared with prototypes.
        lambda_uniform: Weight of the uniformity of f inside w.
        weight: w at the end; it rises in a half cosine.
        weight_epochs: Epochs until w is there.
        smoothing: Part of a label that the other classes have.
        photos_per_sketch: Photos in a batch for each sketch; 4 on TU-Berlin.
        lr: Learning rate of AdamW; the paper has 5e-4 x batch size / 256, at 512.
        encoder_rate: Learning rate of the encoder as a factor of it.
        warmup_epochs: Epochs of the warm-up, at most a tenth of all.
    """

    training_only: ClassVar[tuple[str, ...]] = (
        *("sketch_teacher.", "teachers.", "told.", "distill.", "project.", "classes."),
        *("teacher_centres.", "class_centres.", "prototype_head"),
    )

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vit_small_patch8_224.dino"),
        sketch_teacher: ImageEncoder | None = None,
        bits: Count | None = None,
        distill: Literal["prototypes", "cosine"] = "prototypes",
        prototype_head: str | None = None,
        prototypes: Count = 65536,
        hidden: Count = 2048,
        projection: Count = 256,
        lambda_uniform: NonNegative = 0.25,
        weight: NonNegative = 2.0,
        weight_epochs: NonNegative = 20,
        smoothing: Part = 0.1,
        photos_per_sketch: Positive = 2.0,
        lr: NonNegative = 1e-3,
        encoder_rate: NonNegative = 0.1,
        warmup_epochs: NonNegative = 5,
    ) -> None:
        super().__init__()
        # The teacher is another run, which loading this one for search must do without.
        self.save_hyperparameters(ignore=["encoder", "sketch_teacher"])
        width = self.build_tokens(encoder, True, bits, photos_per_sketch)
        self.sketch_teacher: ImageEncoder | None = None
        if sketch_teacher is not None:
            self.sketch_teacher = frozen_copy(sketch_teacher)
            self.needs_images = True  # cached features are the encoder's, not the teacher's
            classes = {*self.training_classes, *sketch_teacher.training_classes}
            self.training_classes = sorted(classes)
            self.training_data += [
                entry for entry in sketch_teacher.training_data if entry not in self.training_data
            ]
            if sketch_teacher.dim != width:
                raise SketchClipError(
                    f"TVT has one head over both teachers: expected a sketch teacher of {width} "
                    f"numbers, as the encoder has, found {sketch_teacher.dim}. Fit its run of "
                    "SelfDistillation with the --model.encoder of this one."
                )

    @property
    def origin(self) -> dict[str, str]:
        """Name, weights and hash of the encoder before training, and of the sketch teacher."""
        teacher = self.sketch_teacher
        if teacher is None:
            return super().origin
        found = {"sketch_teacher": teacher.origin["pretrained"]}
        digest = f"{super().origin['hash']}-{teacher.origin['hash']}"
        return {**super().origin, **found, "hash": digest}

    def setup(self, stage: str) -> None:
        """Refuse a sketch teacher that reads images in another way."""
        teacher, steps = self.sketch_teacher, self.preprocessing
        if stage == "fit" and teacher is not None:
            wanted = teacher.preprocessing or (teacher.image_size, teacher.mean, teacher.std)
            given = steps if teacher.preprocessing else (steps.size, steps.mean, steps.std)
            if wanted != given:
                raise SketchClipError(
                    f"The sketch teacher reads images prepared as {wanted}, found {given}. Give "
                    " both runs the same --model.encoder and the same data options."
                )
        super().setup(stage)

    def build_training_parts(self) -> None:
        """Create teachers, heads and centres."""
        settings, width = self.hparams, self.encoder.dim
        photo = frozen_copy(self.encoder)
        self.teachers = nn.ModuleDict({"photo": photo, "sketch": self.sketch_teacher or photo})
        self.project = Projection(width, settings.hidden, settings.projection)
        self.classes = nn.Linear(settings.projection, len(settings.class_names))
        self.class_centres = ClassCentres(len(settings.class_names), settings.projection)
        if settings.distill == "cosine":
            return
        found = self.sketch_teacher.prototypes() if self.sketch_teacher is not None else None
        head = copy.deepcopy(found)
        if head is None or settings.prototype_head is not None:
            sizes = (settings.prototypes, settings.hidden, settings.projection)
            head = PrototypeHead(width, *sizes)
        if settings.prototype_head is not None:
            load_prototypes(cast(PrototypeHead, head), settings.prototype_head)
        self.told = nn.ModuleDict({"photo": head, "sketch": copy.deepcopy(found) or head})
        self.told.requires_grad_(False)
        self.distill = copy.deepcopy(head).requires_grad_(True)
        self.teacher_centres = TeacherCentres(cast(PrototypeHead, head).prototypes.out_features)

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """Loss of a batch of single sketches and photos."""
        settings, sides = self.hparams, batch.side
        assert sides is not None  # by the pairing
        tokens = self.tokens(self.encoder, batch.image, sides, batch.features)
        fused, distilled = tokens.unbind(1)
        f = self.project(fused)
        logits = self.classes(f)
        wait, until = self.steps_of_an_epoch, settings.weight_epochs * self.steps_of_an_epoch
        w = risen(self.global_step, wait, until, settings.weight)
        names = ("distill", "classes", "uniform", "align")
        logs = {f"train/{name}": logits.new_zeros(()) for name in names}
        for at, side in enumerate(SIDES):
            rows = sides == at
            label, share = batch.label[rows], rows.sum() / len(rows)
            terms = (
                self._distill(batch.image[rows], distilled[rows], side, batch.features),
                smoothed_cross_entropy(logits[rows], label, settings.smoothing),
                w * settings.lambda_uniform * uniformity_loss(f[rows]),
                w * centre_alignment_loss(*self.class_centres.update(f[rows], label, at)),
            )
            for name, term in zip(names, terms, strict=True):
                logs[f"train/{name}"] = logs[f"train/{name}"] + share * term
        loss = torch.stack([*logs.values()]).sum()
        self.log_losses(logs | {"train/loss": loss}, len(sides))
        return loss

    def _distill(self, values: Tensor, distilled: Tensor, side: Side, features: bool) -> Tensor:
        known = values if features else distilled.detach()
        if len(values) and not features:  # networks refuse a batch without any image
            with torch.no_grad():
                known = self.teachers[side](values, side)
        if self.hparams.distill == "cosine":
            apart = 1 - F.cosine_similarity(distilled.float(), known.float())
            return apart.sum() / max(len(apart), 1)
        at, told = SIDES.index(side), self.told[side](known)
        centre = self.teacher_centres.means[at].clone()
        temperature = risen_temperature(self.current_epoch)
        loss = dino_loss(self.distill(distilled), told, centre, temperature)
        self.teacher_centres.update(told, at)
        return loss
