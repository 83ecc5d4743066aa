"""ZS-GCN: SketchGCN, Zhang et al., AAAI 2020; a reimplementation from the text.

No code is public. The paper's abstract names an encoding network, a graph convolution over visual
and semantic features, a conditional variational autoencoder from the first to the second, and three
losses; widths, constants and the forms below are choices.

From the embeddings v of the 2B sketches and photos of a batch and the vectors w of their classes:

- nodes x_i = [v_i; w_i], A_ij = exp(-|w_i - w_j|^2 / t), A' = D^-1/2 A D^-1/2,
  g = relu(A' relu(A' x W_1) W_2);
- L_feat = MSE(v_s, g_s) + MSE(v_p, g_p) + triplet loss of v in cosine distance;
- L_cls = CE(C(v_s), y) + CE(C(v_p), y);
- L_sem = MSE(D(z, v), w) + KL(q(z|w, v) || N(0, I)), z a sample of q.

Retrieval compares v by its cosine: neither classes nor a graph are needed.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jsonargparse import lazy_instance
from torch import Tensor, nn

from data_modules.batch import TrainingBatch
from data_modules.ranges import Count, NonNegative, Positive
from data_modules.transforms import Side
from sketchclip.clip.class_text import CLIPText
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import kl_normal, triplet_loss
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.nn import (
    GaussianHead,
    GraphConvolution,
    LearnedAdjacency,
    compose,
    for_each_side,
    gaussian_adjacency,
    normalise_adjacency,
    sample_normal,
)
from sketchclip.semantics import ClassSemantics


class SketchGCN(EncodedMethod):
    """Embeddings drawn to what a graph of their classes makes of them (ZS-GCN), from the text.

    Args:
        class_names: Seen classes in the order of their labels; taken from the data.
        encoder: Encoder of both sides; each has a linear map of its own behind it.
        semantics: Class vectors.
        dim: Numbers of an embedding.
        hidden: Width of the first graph layer and of the inner layers of the autoencoder.
        latent: Numbers of the autoencoder's z.
        adjacency: gaussian for weights by the distance of class vectors; learned for a small net on
            the differences of nodes, whose memory grows with the square of the batch.
        t: Squared distance of class vectors at which a gaussian weight has fallen to 1 / e.
        margin: Triplet margin in cosine distance.
        lambda_feature: Weight of the squared distance from the graph's output, a mean over the
            numbers; dim times as much is that of a sum, which outweighs all other terms.
        lambda_triplet: Weight of the triplet loss.
        lambda_cls: Weight of the classification loss.
        lambda_semantic: Weight of the reconstruction of class vectors, a mean over their numbers.
        kl_weight: Weight of the divergence from the prior, a sum over the latent.
        lr: Learning rate of Adam.
    """

    training_only: ClassVar[tuple[str, ...]] = (
        "graph.",
        "edges.",
        "classifier.",
        "posterior.",
        "decoder.",
        "semantics.",
    )
    vectors: Tensor

    def __init__(
        self,
        class_names: Sequence[str],
        encoder: ImageEncoder = lazy_instance(TimmEncoder, name="vgg16.tv_in1k"),
        semantics: ClassSemantics = lazy_instance(CLIPText),
        dim: Count = 512,
        hidden: Count = 1024,
        latent: Count = 64,
        adjacency: Literal["gaussian", "learned"] = "gaussian",
        t: Positive = 0.1,
        margin: NonNegative = 0.3,
        lambda_feature: NonNegative = 1.0,
        lambda_triplet: NonNegative = 1.0,
        lambda_cls: NonNegative = 1.0,
        lambda_semantic: NonNegative = 1.0,
        kl_weight: NonNegative = 1.0,
        lr: NonNegative = 1e-4,
    ) -> None:
        super().__init__()
        if t <= 0:
            raise SketchClipError(
                f"model.t={t}: expected a squared distance of class vectors above 0, by which the "
                "weights of the graph fall. Pass --model.t 0.1."
            )
        self.save_hyperparameters(ignore=["encoder", "semantics"])
        width = self.build_encoder(encoder)
        self.semantics = compose(self, "semantics", semantics)
        self.heads = for_each_side(nn.Linear(width, dim))

    def build_training_parts(self) -> None:
        """Create the graph layers, the classifier and the autoencoder of class vectors."""
        names, dim, hidden = self.hparams.class_names, self.hparams.dim, self.hparams.hidden
        vectors = self.semantics.vectors(names)
        self.register_buffer("vectors", vectors, persistent=False)
        words, latent = vectors.shape[1], self.hparams.latent
        layers = GraphConvolution(dim + words, hidden), GraphConvolution(hidden, dim)
        self.graph = nn.ModuleList(layers)
        if self.hparams.adjacency == "learned":
            self.edges = LearnedAdjacency(dim + words)
        self.classifier = nn.Linear(dim, len(names))
        self.posterior = nn.Sequential(
            nn.Linear(words + dim, hidden), nn.ReLU(), GaussianHead(hidden, latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent + dim, hidden), nn.ReLU(), nn.Linear(hidden, words)
        )

    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images of one side by the encoding network, (B, dim)."""
        embedding: Tensor = self.heads[side](self.encoder(images, side))
        return embedding

    def smooth(self, embeddings: Tensor, words: Tensor) -> Tensor:
        """Pass embeddings (N, dim) and the vectors of their classes (N, V) through the graph.

        Returns:
            g, shape (N, dim), at least 0.
        """
        nodes = torch.cat([embeddings, words], dim=1)
        learned = self.hparams.adjacency == "learned"
        weights = self.edges(nodes) if learned else gaussian_adjacency(words, self.hparams.t)
        normalised = normalise_adjacency(weights)
        for layer in self.graph:
            nodes = layer(nodes, normalised)
        return nodes

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of (sketch, photo of its class, photo of another seen class)."""
        assert batch.negative is not None  # by the pairing
        settings, label = self.hparams, batch.label
        images = torch.cat([batch.photo, batch.negative])
        photos = self.heads["photo"](self.encode(images, "photo", batch.features))
        sketch = self.heads["sketch"](self.encode(batch.sketch, "sketch", batch.features))
        photo, negative = photos.chunk(2)

        both, words = torch.cat([sketch, photo]), self.vectors[label].repeat(2, 1)
        sides = zip(both.chunk(2), self.smooth(both, words).chunk(2), strict=True)
        feature = torch.stack([F.mse_loss(v, g) for v, g in sides]).sum()
        triplet = triplet_loss(sketch, photo, negative, settings.margin)

        logits = self.classifier(both)
        classified = [F.cross_entropy(each, label) for each in logits.chunk(2)]
        cls = torch.stack(classified).sum()

        distribution = self.posterior(torch.cat([words, both], dim=1))
        latent = sample_normal(distribution, self.draws(batch_idx))
        semantic = F.mse_loss(self.decoder(torch.cat([latent, both], dim=1)), words)
        divergence = kl_normal(distribution)
        loss = (
            settings.lambda_feature * feature
            + settings.lambda_triplet * triplet
            + settings.lambda_cls * cls
            + settings.lambda_semantic * semantic
            + settings.kl_weight * divergence
        )
        logs = {"train/feature": feature, "train/triplet": triplet, "train/cls": cls}
        logs |= {"train/semantic": semantic, "train/divergence": divergence}
        self.log_losses(logs | {"train/loss": loss}, len(sketch))
        return loss

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group at one rate, for Adam."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return [{"params": trained, "lr": self.hparams.lr}]
