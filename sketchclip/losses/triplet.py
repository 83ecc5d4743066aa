"""Triplet loss on cosine distance (Sain et al., CVPR 2023, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Cosine distance ``1 - cos(a, b)`` between matching rows, computed in fp32.

    Args:
        a: Embeddings, shape (B, D); need not be normalised.
        b: Embeddings, shape (B, D).

    Returns:
        Distances in [0, 2], shape (B,).

    >>> cosine_distance(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor([0., 1.])
    """
    return 1.0 - F.cosine_similarity(a.float(), b.float(), dim=-1)


def triplet_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 0.3,
    counted: Tensor | None = None,
) -> Tensor:
    """Mean of ``max(0, margin + d(anchor, positive) - d(anchor, negative))`` over the batch.

    Args:
        anchor: Sketch embeddings, shape (B, D).
        positive: Photo embeddings of the sketch's class (or of its own photo), shape (B, D).
        negative: Photo embeddings to push away, shape (B, D).
        margin: Margin in units of cosine distance; 0.3 in the paper, 0.2 in its released code.
        counted: Triplets that the mean is of, shape (B,), bool; None for all.

    Returns:
        Scalar loss; 0 where no triplet counts.

    >>> sketch, near, far = torch.eye(3)[:1], torch.eye(3)[:1], torch.eye(3)[1:2]
    >>> triplet_loss(sketch, near, far), triplet_loss(sketch, far, near)
    (tensor(0.), tensor(1.3000))
    """
    gap = cosine_distance(anchor, positive) - cosine_distance(anchor, negative)
    losses = F.relu(margin + gap)
    if counted is None:
        return losses.mean()
    return torch.where(counted, losses, 0.0).sum() / counted.sum().clamp(min=1)
