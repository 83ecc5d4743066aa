"""Toy methods without CLIP: each has something that a checkpoint must hold, or must leave out."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.batch import TrainingBatch
from data_modules.transforms import Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.losses import triplet_loss
from sketchclip.methods import RetrievalModule


def small_net(*extra: nn.Module) -> nn.Sequential:
    """Embed images (B, 3, 32, 32) as (B, 16)."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=3), *extra, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(128, 16),
    )  # fmt: skip


def statistics(buffers: dict[str, Tensor]) -> Tensor:
    """Sum up what BatchNorm layers and moving means have seen."""
    names = ("net.1.running_mean", "net.1.running_var", "centre")
    return torch.stack([buffers[name].sum() for name in names if name in buffers]).sum()


class ToyMethod(RetrievalModule):
    """Embeds with a small net of its own and trains with the triplet loss."""

    image_size = 32  # type: ignore[assignment]
    mean = (0.5, 0.5, 0.5)  # type: ignore[assignment]
    std = (0.5, 0.5, 0.5)  # type: ignore[assignment]
    net: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters()

    def embed(self, images: Tensor, side: Side) -> Tensor:
        return self.net(images)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        assert batch.negative is not None
        images = torch.cat([batch.sketch, batch.photo, batch.negative])
        loss = triplet_loss(*self.embed(images, "photo").chunk(3), 0.3)
        self.log("train/loss", loss, batch_size=len(batch.sketch))
        return loss

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self.log("val/statistics", statistics(dict(self.named_buffers())), sync_dist=True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [p for p in self.parameters() if p.requires_grad], "lr": 1e-2}]


class BatchNormMethod(ToyMethod):
    """Its embeddings depend on running statistics, which are no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net(nn.BatchNorm2d(8))


class DistilledMethod(ToyMethod):
    """Has a teacher and a discriminator for training, a frozen random layer and a moving mean."""

    training_only: ClassVar[tuple[str, ...]] = ("teacher.", "discriminator.")
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.projection = nn.Linear(16, 16).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(16))

    def build_training_parts(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7)  # in place of a file with weights
            self.teacher = mark_pretrained(small_net(nn.BatchNorm2d(8), nn.Dropout()))
        self.discriminator = nn.Linear(16, 2)

    def embed(self, images: Tensor, side: Side) -> Tensor:
        return self.projection(self.net(images)) - self.centre

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        features = self.net(torch.cat([batch.sketch, batch.photo]))
        self.centre.lerp_(self.projection(features.detach()).mean(0), 0.1)
        sides = torch.arange(2).repeat_interleave(len(batch.sketch))
        told_apart = F.cross_entropy(self.discriminator(features), sides)
        distilled = F.mse_loss(features, self.teacher(torch.cat([batch.sketch, batch.photo])))
        return super().training_step(batch, batch_idx) + told_apart + distilled


class EuclideanMethod(ToyMethod):
    """Ranks by Euclidean distance; the lengths of its embeddings differ much."""

    similarity = "euclidean"

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def embed(self, images: Tensor, side: Side) -> Tensor:
        embedded = super().embed(images, side)
        return embedded * (1 + 20 * embedded[:, :1].abs())


class HammingMethod(EuclideanMethod):
    """Ranks by the number of signs that differ."""

    similarity = "hamming"


class PairMethod(EuclideanMethod):
    """Scores pairs of token sets by their best match; means of tokens make the shortlist."""

    similarity = "cosine"

    def query_state(self, images: Tensor, strokes: Tensor | None = None) -> Tensor:
        return self.net(images).unflatten(1, (4, 4))

    gallery_state = query_state

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        return torch.einsum("qid,gjd->qgij", queries, gallery).amax((2, 3))

    def vector(self, state: Tensor) -> Tensor:
        return state.mean(1)


class ShortlistMethod(PairMethod):
    """Scores the pairs of each sketch and the five photos nearest to it by vector."""

    shortlist = 5
