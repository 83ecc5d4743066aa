"""ZS-TCN: transferable coupled network, Wang et al., TPAMI 2021.

Sketches and photos have a network each, whose weights are held together; layer h and heads are
shared. With a sketch s and a photo p of class y:

L = CE(c(s), y) + CE(c(p), y) + lambda_kd softCE(a(p), t(p))
    + lambda_coupling sum over layers |W_sketch - W_photo|_F + lambda_semantic SBH

c is the head of the seen classes, a that of ImageNet's, t the frozen pretrained network; h and a
start as the best approximation of its classifier. SBH, the semantic batch-hard loss, measures from
anchors u f(w_y) + (1 - u) h(x) between an embedding and the map f of its class's word vector w_y, u
uniform in (0, 1). Released code: haowang1992/TCN.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from data_modules.batch import BatchSpec, TrainingBatch
from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.clip.class_text import CLIPText
from sketchclip.encoders import ImageEncoder, Teacher, TimmEncoder, TwinEncoder
from sketchclip.losses import coupling_penalty, distillation_loss, semantic_batch_hard
from sketchclip.methods.coded import CodedMethod
from sketchclip.methods.schedules import decaying, planned_epochs
from sketchclip.nn import SideBatchNorm, compose
from sketchclip.semantics import ClassSemantics


class TCN(CodedMethod):
    """Coupled networks with the pretrained classes and anchors from class vectors (ZS-TCN).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder that each side has a copy of.
        twins: Whether each side has an encoder of its own.
        semantics: Class vectors; the paper has GloVe, 300 numbers.
        dim: Numbers of an embedding; the paper has 512 and 64.
        bits: Length of binary codes by iterative quantisation; null for real embeddings.
        norm: shared for one BatchNorm, as on Sketchy; side for statistics of each side and
            dropout behind it, as on TU-Berlin and QuickDraw.
        lambda_kd: Weight of the loss on ImageNet's classes.
        lambda_coupling: Weight of the distance between the two networks.
        lambda_semantic: Weight of the semantic batch-hard loss.
        lr: Learning rate of Adam, weight decay 5e-4; it falls to a thousandth over twice the
            epochs.
    """

    training_batch = BatchSpec(pairing="class_pair", smallest_batch=2)
    training_only: ClassVar[tuple[str, ...]] = (
        *("classes.", "past.", "teacher.", "meaning.", "semantics.", "vectors"),
    )
    vectors: Tensor

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="resnet50.tv_in1k"),
        twins: bool = True,
        semantics: ClassSemantics = lazy_instance(CLIPText),
        dim: Count = 512,
        bits: Count | None = None,
        norm: Literal["shared", "side"] = "shared",
        lambda_kd: NonNegative = 1.0,
        lambda_coupling: NonNegative = 1000.0,
        lambda_semantic: NonNegative = 1.0,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder", "semantics"])
        width = self.build_encoder(encoder, twins)
        self.semantics = compose(self, "semantics", semantics)
        self.layer = nn.Linear(width, dim)
        by_side = norm == "side"
        self.norm: nn.Module = SideBatchNorm(dim) if by_side else nn.BatchNorm1d(dim)
        self.dropout = nn.Dropout((0.5 if dim <= 64 else 0.7) if by_side else 0.0)
        self.build_codes(dim, bits)

    def build_training_parts(self) -> None:
        """Create the heads, the teacher and the map of class vectors."""
        dim, names = self.hparams.dim, self.hparams.class_names
        self.register_buffer("vectors", self.semantics.vectors(names), persistent=False)
        self.meaning = nn.Linear(self.vectors.shape[1], dim)
        self.classes = nn.Linear(dim, len(names))
        twin = self.encoder
        self.teacher = Teacher(twin.encoder if isinstance(twin, TwinEncoder) else twin)
        self.past = nn.Linear(dim, len(self.teacher.weight))
        self.inherit(self.layer, self.past, self.teacher.weight)
        with torch.no_grad():
            self.past.bias.copy_(self.teacher.bias)

    def real_embedding(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, dim)."""
        return self._embedding(images, side, features=False)

    def _embedding(self, values: Tensor, side: Side, features: bool) -> Tensor:
        found = self.layer(self.encode(values, side, features))
        normed = self.norm(found, side) if self.hparams.norm == "side" else self.norm(found)
        embedding: Tensor = self.dropout(normed)
        return embedding

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class)."""
        settings, label = self.hparams, batch.label
        sketch = self._embedding(batch.sketch, "sketch", batch.features)
        photo = self._embedding(batch.photo, "photo", batch.features)
        said = [F.cross_entropy(self.classes(e), label) for e in (sketch, photo)]
        told = self.teacher(batch.photo, "photo", batch.features)
        logs = {
            "train/classes": said[0] + said[1],
            "train/past": settings.lambda_kd * distillation_loss(self.past(photo), told),
            "train/semantic": settings.lambda_semantic
            * self._semantic(sketch, photo, label, batch_idx),
        }
        if isinstance(self.encoder, TwinEncoder):
            nets = (_coupled(self.encoder.encoder), _coupled(self.encoder.photo_encoder))
            logs["train/coupling"] = settings.lambda_coupling * coupling_penalty(*nets)
        loss = torch.stack([*logs.values()]).sum()
        self.log_losses(logs | {"train/loss": loss}, len(label))
        return loss

    def _semantic(self, sketch: Tensor, photo: Tensor, label: Tensor, batch_idx: int) -> Tensor:
        both, labels = torch.cat([sketch, photo]), torch.cat([label, label])
        share = torch.rand(len(both), 1, generator=self.draws(batch_idx)).to(both)
        anchors = torch.lerp(both, self.meaning(self.vectors[labels]), share)
        return semantic_batch_hard(both, anchors, labels, self.classes(anchors))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with a rate that decays exponentially, as in the released code."""
        trained = [p for p in self.parameters() if p.requires_grad]
        adam = torch.optim.Adam(trained, self.hparams.lr, weight_decay=5e-4)
        return decaying(adam, 2 * planned_epochs(self.trainer))


def _coupled(network: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that are held together: all but those of BatchNorm."""
    for part in network.modules():
        if not isinstance(part, nn.modules.batchnorm._BatchNorm):
            yield from (p for p in part.parameters(recurse=False) if p.requires_grad)
