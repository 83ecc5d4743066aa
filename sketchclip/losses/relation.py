"""Losses of pairs whose relation a network scores (ZSE-SBIR, Lin et al., CVPR 2023)."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, triplet_margin_loss


def euclidean_triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0
) -> Tensor:
    """Mean of ``max(0, margin + |a - p + 1e-6| - |a - n + 1e-6|)``, in fp32 at least.

    Args:
        anchor: Vectors of sketches, shape (B, D).
        positive: Vectors of photos that match, shape (B, D).
        negative: Vectors of photos that do not, shape (B, D).
        margin: Margin in units of Euclidean distance.

    Returns:
        Scalar loss.

    >>> a, far = torch.zeros(1, 2), torch.tensor([[0.0, 3.0]])
    >>> euclidean_triplet_loss(a, a, far), round(euclidean_triplet_loss(a, far, a).item(), 4)
    (tensor(0.), 4.0)
    """
    a, p, n = (x if x.dtype == torch.float64 else x.float() for x in (anchor, positive, negative))
    return triplet_margin_loss(a, p, n, margin=margin, eps=1e-6)


def relation_loss(matches: Tensor, others: Tensor) -> Tensor:
    """Mean squared distance of scores to 0.99 for pairs that match and 0.01 for others.

    Args:
        matches: Scores in [0, 1] of pairs that match, shape (B,).
        others: Scores of pairs that do not, shape (C,).

    Returns:
        Scalar loss, over all pairs.

    >>> round(relation_loss(torch.tensor([0.5]), torch.tensor([0.5])).item(), 4)
    0.2401
    """
    scores = torch.cat([matches, others])
    targets = torch.cat([torch.full_like(matches, 0.99), torch.full_like(others, 0.01)])
    return mse_loss(scores, targets)
