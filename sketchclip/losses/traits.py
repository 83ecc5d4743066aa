"""Losses of codes that are learned without labels (CC-DG, Pang et al., CVPR 2019)."""

from torch import Tensor
from torch.nn.functional import normalize


def reconstruction_ranking_loss(
    reconstruction: Tensor, features: Tensor, margin: float = 0.3
) -> Tensor:
    """Rank own features before those of others, by what was made of a code.

    Mean over i and j != i of ``max(0, margin + d(r_i, x_i) - d(r_i, x_j))``, d = 1 - cos, in fp32.

    Args:
        reconstruction: Features made of a code, r, shape (B, D).
        features: Features that the codes are of, x, shape (B, D).
        margin: Margin in units of cosine distance.

    Returns:
        Scalar loss; 0 for a batch of one.

    >>> import torch
    >>> features = torch.eye(2)
    >>> reconstruction_ranking_loss(features, features), reconstruction_ranking_loss(
    ...     features.flip(0), features)
    (tensor(0.), tensor(1.3000))
    """
    cosines = normalize(reconstruction.float()) @ normalize(features.float()).T
    gaps = (margin - cosines.diagonal()[:, None] + cosines).relu()
    others = gaps.sum() - gaps.diagonal().sum()
    return others / max(1, len(gaps) * (len(gaps) - 1))


def code_entropies(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy of a code, and that of the batch: how many are used by one sample, and by all.

    Args:
        codes: Shares that sum to 1, shape (B, K).

    Returns:
        Mean of the entropies of the rows, and entropy of their mean; in nats.

    >>> import torch
    >>> of_each, of_all = code_entropies(torch.eye(2))
    >>> round(of_each.item(), 4), round(of_all.item(), 4)
    (0.0, 0.6931)
    """
    codes = codes.float()
    return _entropy(codes).mean(), _entropy(codes.mean(0))


def _entropy(shares: Tensor) -> Tensor:
    # The slope of x log x at 0 is infinite.
    return -(shares * shares.clamp_min(1e-12).log()).sum(-1)
