"""ZS-SAKE: semantic-aware knowledge preservation, Liu et al., ICCV 2019.

One network h for sketches and photos, which knows the side of an image, is trained on the seen
classes while a second head must go on saying what the pretrained network says:

L = CE(c(h(x)), y) over sketches and photos
    + lambda_sake softCE(a(h(p)), softmax(lambda_kd t(p) + hint_weight m_y)) over photos p

with the head c of the seen classes, the head a of ImageNet's, the frozen pretrained network t, and
the similarity m_y of a class to each of ImageNet's in WordNet: 1 / (1 + path) where above 0.2. The
layer h and the head a start as the best approximation of the pretrained classifier. Released code:
qliu24/SAKE.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from data_modules.batch import BatchSpec, ImageBatch
from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.encoders import CSEResNet, ImageEncoder, Teacher
from sketchclip.errors import SketchClipError
from sketchclip.losses import distillation_loss
from sketchclip.methods.coded import CodedMethod
from sketchclip.methods.schedules import decaying, planned_epochs
from sketchclip.semantics import imagenet_similarity


class SAKE(CodedMethod):
    """Seen classes and ImageNet's classes by one embedding (ZS-SAKE).

    The paper's batch has 13 sketches and 26 photos and goes with random flips, crops and rotations:
    ``data.augment``.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder of both sides, told which side an image is of.
        dim: Numbers of an embedding; the paper has 512 and 64.
        bits: Length of binary codes by iterative quantisation; null for real embeddings.
        lambda_sake: Weight of the loss on ImageNet's classes.
        lambda_kd: Weight of the pretrained network's logits.
        hint_weight: Weight of the similarity in WordNet; 0 for none.
        wordnet: Folder of WordNet's files; null for the classes of known datasets.
        senses: File with lines 'class name = noun', where the first sense of a name is not meant.
        lr: Learning rate of Adam, weight decay 5e-4; it falls to a thousandth over the epochs.
    """

    training_batch = BatchSpec(pairing="singles", sketch_ratio=1 / 3)
    training_only: ClassVar[tuple[str, ...]] = ("classes.", "past.", "teacher.", "hints")
    hints: Tensor

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(CSEResNet),
        dim: Count = 512,
        bits: Count | None = None,
        lambda_sake: NonNegative = 1.0,
        lambda_kd: NonNegative = 1.0,
        hint_weight: NonNegative = 0.3,
        wordnet: str | None = None,
        senses: str | None = None,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder"])
        self.layer = nn.Linear(self.build_encoder(encoder), dim)
        self.build_codes(dim, bits)

    def build_training_parts(self) -> None:
        """Create both heads, the teacher, and the similarity of the classes to ImageNet's."""
        settings = self.hparams
        self.classes = nn.Linear(settings.dim, len(settings.class_names))
        self.teacher = Teacher(self.encoder)
        self.past = nn.Linear(settings.dim, len(self.teacher.weight))
        self.inherit(self.layer, self.past, self.teacher.weight)
        hints = torch.zeros(len(settings.class_names), len(self.teacher.weight))
        if settings.hint_weight:
            known = (settings.wordnet, settings.senses)
            found = imagenet_similarity(settings.class_names, *known)
            if found.shape != hints.shape:
                raise SketchClipError(
                    f"SAKE's hint is the similarity to the 1,000 classes of ImageNet, found an "
                    f"encoder with {hints.shape[1]:,}. Set --model.hint_weight 0 or take an "
                    "encoder with ImageNet's classifier."
                )
            hints = found
        self.register_buffer("hints", hints, persistent=False)

    def real_embedding(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, dim)."""
        embedding: Tensor = self.layer(self.encoder(images, side))
        return embedding

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:  # type: ignore[override]
        """Loss of a batch of single sketches and photos."""
        settings, side = self.hparams, batch.side
        assert side is not None  # by the pairing
        embedding = self.layer(self.encode(batch.image, side, batch.features))
        classes = F.cross_entropy(self.classes(embedding), batch.label)
        photo = side == 1
        told = self.teacher(batch.image[photo], side[photo], batch.features)
        hints = self.hints[batch.label[photo]]
        weights = (settings.hint_weight, settings.lambda_kd)
        past = distillation_loss(self.past(embedding[photo]), told, hints, *weights)
        loss = classes + settings.lambda_sake * past
        logs = {"train/classes": classes, "train/past": past, "train/loss": loss}
        self.log_losses(logs, len(side))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with a rate that decays exponentially, as in the released code."""
        trained = [p for p in self.parameters() if p.requires_grad]
        adam = torch.optim.Adam(trained, self.hparams.lr, weight_decay=5e-4)
        return decaying(adam, planned_epochs(self.trainer))
