"""Soft coupling of the weights of two networks (TCN)."""

from collections.abc import Iterable

import torch
from torch import Tensor


def coupling_penalty(first: Iterable[Tensor], second: Iterable[Tensor]) -> Tensor:
    """Sum over layers of the Frobenius norm of the difference of their weights.

    Args:
        first: Weights of one network.
        second: Weights of the same layers of the other, in the same order.

    Returns:
        Scalar. Where two layers are equal, as at the start, the gradient is 0.

    >>> coupling_penalty([torch.zeros(2, 2)], [torch.tensor([[3.0, 0.0], [0.0, 4.0]])])
    tensor(5.)
    """
    norms = [
        # The gradient of a norm at 0 is not defined; a constant there has none.
        torch.where((a == b).all(), torch.zeros_like(a.sum()), torch.linalg.vector_norm(a - b))
        for a, b in zip(first, second, strict=True)
    ]
    return torch.stack(norms).sum()
