"""Losses of SpLIP: a margin that classes decide, and a jigsaw (Singha et al., ECCV 2024)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

UnitDistance = Literal["squared", "cosine"]


def margin_triplet_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: Tensor | float,
    distance: UnitDistance = "squared",
) -> Tensor:
    """Mean of ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Args:
        anchor: Sketch embeddings, (B, D); need not be normalised.
        positive: Photo embeddings of the sketch's class, or of its own photo, (B, D).
        negative: Photo embeddings to push away, (B, D).
        margin: One for all, or one each, (B,); see :func:`class_margins`.
        distance: squared for the squared Euclidean distance of unit vectors, 2 - 2 cos; cosine for
            half of it.

    Returns:
        Scalar loss.

    >>> sketch, near, far = torch.eye(3)[:1], torch.eye(3)[:1], torch.eye(3)[1:2]
    >>> margin_triplet_loss(sketch, far, near, 0.2)
    tensor(2.2000)
    """
    unit = [F.normalize(_precise(x), dim=-1) for x in (anchor, positive, negative)]
    gap = (unit[0] * (unit[2] - unit[1])).sum(-1)
    return F.relu((2.0 if distance == "squared" else 1.0) * gap + margin).mean()


def class_margins(texts: Tensor, labels: Tensor, negative_labels: Tensor) -> Tensor:
    """Cosine of the text embeddings of two classes, a margin for each triplet.

    Similar classes have the larger one. It is 1 where both classes are one.

    Args:
        texts: Embeddings of the classes, (C, D); need not be normalised.
        labels: Class of sketch and positive, (B,), int64.
        negative_labels: Class of the negative, (B,), int64.

    Returns:
        Margins, (B,), without a gradient.

    >>> class_margins(torch.eye(2), torch.tensor([0, 0]), torch.tensor([0, 1]))
    tensor([1., 0.])
    """
    unit = F.normalize(_precise(texts.detach()), dim=-1)
    same = labels == negative_labels
    return (unit[labels] * unit[negative_labels]).sum(-1).masked_fill(same, 1.0)


def conditional_jigsaw_loss(
    own: Tensor, positive: Tensor, negative: Tensor, permutation: Tensor
) -> Tensor:
    """A permutation is found by the sketch, and by its photo better than by another one.

    CE(own, y) + mean max(0, CE(positive, y) - CE(negative, y)): a solver sees a permuted sketch
    beside the sketch itself, its positive photo, or the negative one.

    Args:
        own: Logits of the permutations beside the sketch, (B, Y).
        positive: Logits beside the positive photo, (B, Y).
        negative: Logits beside the negative photo, (B, Y).
        permutation: Index of each sketch's permutation, (B,), int64.

    Returns:
        Scalar loss in nats.

    >>> same = torch.zeros(2, 4)
    >>> conditional_jigsaw_loss(same, same, same, torch.tensor([0, 3]))
    tensor(1.3863)
    """
    near, far = (
        F.cross_entropy(_precise(logits), permutation, reduction="none")
        for logits in (positive, negative)
    )
    return F.cross_entropy(_precise(own), permutation) + F.relu(near - far).mean()


def _precise(values: Tensor) -> Tensor:
    """Values in fp32, or in fp64 where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
