"""Two linear layers whose product is the best approximation of a classifier (SAKE, TCN)."""

import torch
from torch import Tensor


def split_classifier(weight: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Split a classifier's weight W = U S V^T at a width d by its largest singular values.

    Args:
        weight: W, shape (C, F).
        width: d, at most min(C, F).

    Returns:
        The embedding's weight S_d V_d^T, (d, F), and the head's U_d, (C, d); their product is the
        best approximation of rank d.

    >>> embedding, head = split_classifier(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 2)
    >>> (head @ embedding).diagonal()
    tensor([3., 2., 0.])
    """
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    return values[:width, None] * right[:width], left[:, :width]
