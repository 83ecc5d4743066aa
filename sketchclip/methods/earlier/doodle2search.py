"""ZS-GRL: Doodle to Search, Dey et al., CVPR 2019.

L = L_tri + L_dom + L_sem on the embeddings e of a sketch, a photo of its class and one of another:

- L_tri = max(0, m + |e_s - e_p| - |e_s - e_n|);
- L_dom = mean over the three of BCE(D(R(e)), side), R reversing the gradient by a factor that ramps
  from 0 to 1: the sides are to become alike;
- L_sem = c(f(e_s), w_y) + c(f(e_p), w_y) + c(f(R(e_n)), w_y), c = (1 - cos) / 2, w_y the vector of
  the sketch's class: the other class is to know nothing of it.

Released code: sounakdey/doodle2search. Retrieval ranks by Euclidean distance.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import TrainingBatch
from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.clip.class_text import CLIPText
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.losses import semantic_cosine_loss
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import compose, for_each_side, ramp, reverse_gradient
from sketchclip.semantics import ClassSemantics


class Doodle2Search(EncodedMethod):
    """Triplets, sides that cannot be told apart, and class vectors that can be read off (ZS-GRL).

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder with spatial attention, as in the paper; the released code has the
            attention off by default.
        twins: Whether each side has an encoder of its own, from equal weights.
        semantics: Class vectors; the paper has word2vec, 300 numbers.
        dim: Numbers of an embedding.
        margin: Triplet margin in Euclidean distance.
        lambda_triplet: Weight of the triplet loss.
        lambda_domain: Weight of the loss of the side.
        lambda_semantic: Weight of the semantic loss.
        semantic_reversal: Factor of the reversed gradient of the other class.
        ramp_unit: Unit in which the factor of the side's reversal ramps from 5 to 25. The paper has
            epochs; the released code passes the number of the batch in its epoch.
        lr: Learning rate of SGD with Nesterov momentum 0.9 and weight decay 5e-4.
    """

    similarity = "euclidean"
    vectors: Tensor
    training_only: ClassVar[tuple[str, ...]] = ("domain.", "meaning.", "semantics.")

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(
            TimmEncoder, name="vgg16_bn.tv_in1k", attention=True, dropout=0.5
        ),
        twins: bool = True,
        semantics: ClassSemantics = lazy_instance(CLIPText),
        dim: Count = 256,
        margin: NonNegative = 1.0,
        lambda_triplet: NonNegative = 1.0,
        lambda_domain: NonNegative = 1.0,
        lambda_semantic: NonNegative = 1.0,
        semantic_reversal: NonNegative = 0.5,
        ramp_unit: Literal["epoch", "batch"] = "epoch",
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["encoder", "semantics"])
        width = self.build_encoder(encoder, twins)
        self.semantics = compose(self, "semantics", semantics)
        self.heads = for_each_side(nn.Linear(width, dim))

    def build_training_parts(self) -> None:
        """Create the map to class vectors and the classifier of sides."""
        dim = self.hparams.dim
        vectors = self.semantics.vectors(self.hparams.class_names)
        self.register_buffer("vectors", vectors, persistent=False)
        self.meaning = nn.Sequential(
            nn.Linear(dim, 300), nn.ReLU(), nn.Dropout(0.5), nn.Linear(300, vectors.shape[1])
        )
        self.domain = nn.Sequential(
            *(nn.Linear(dim, 64), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)),
        )

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side, (B, dim)."""
        embedding: Tensor = self.heads[side](self.encoder(images, side))
        return embedding

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        assert batch.negative is not None  # by the pairing
        settings = self.hparams
        sketch = self.heads["sketch"](self.encode(batch.sketch, "sketch", batch.features))
        photos = torch.cat([batch.photo, batch.negative])
        both = self.heads["photo"](self.encode(photos, "photo", batch.features))
        photo, negative = both.chunk(2)

        triplet = F.triplet_margin_loss(sketch, photo, negative, settings.margin)
        at = self.current_epoch if settings.ramp_unit == "epoch" else batch_idx
        domain = self._domain_loss(sketch, photo, negative, ramp(at))
        vectors = self.vectors[batch.label]
        other = reverse_gradient(negative, settings.semantic_reversal)
        said = [semantic_cosine_loss(self.meaning(e), vectors) for e in (sketch, photo, other)]
        semantic = torch.stack(said).sum()
        loss = (
            settings.lambda_triplet * triplet
            + settings.lambda_domain * domain
            + settings.lambda_semantic * semantic
        )
        logs = {"train/triplet": triplet, "train/domain": domain, "train/semantic": semantic}
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss

    def _domain_loss(self, sketch: Tensor, photo: Tensor, other: Tensor, factor: float) -> Tensor:
        logits = self.domain(reverse_gradient(torch.cat([sketch, photo, other]), factor))
        sides = torch.ones_like(logits)
        sides[: len(sketch)] = 0
        return F.binary_cross_entropy_with_logits(logits, sides)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD, as in the released code."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.SGD(
            trained, self.hparams.lr, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
