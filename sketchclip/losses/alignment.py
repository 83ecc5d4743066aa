"""Losses on where embeddings lie on the sphere: spread over it, and alike on both sides (TVT)."""

import torch
from torch import Tensor


def uniformity_loss(embeddings: Tensor) -> Tensor:
    """Logarithm of the mean of exp(-2 |f_i - f_j|^2) over pairs (Wang and Isola, ICML 2020).

    Args:
        embeddings: Of unit length, shape (B, D).

    Returns:
        Scalar loss, at most 0; 0 for fewer than two embeddings, which are no pair.

    >>> uniformity_loss(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor(-8.)
    """
    if len(embeddings) < 2:
        return embeddings.sum() * 0  # a zero that backward() accepts
    return torch.pdist(embeddings).square().mul(-2).exp().mean().log()


def centre_alignment_loss(centres: Tensor, others: Tensor) -> Tensor:
    """Mean squared distance between the centres of classes on two sides (Tian et al., AAAI 2022).

    Args:
        centres: Centre of each class of a batch on the batch's side, shape (P, D).
        others: Those of the other side, shape (P, D).

    Returns:
        Scalar loss; 0 without classes.

    >>> centre_alignment_loss(torch.eye(2), torch.zeros(2, 2))
    tensor(1.)
    """
    if not len(centres):
        return centres.sum()
    return (centres - others).square().sum(1).mean()
