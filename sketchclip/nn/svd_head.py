"""Two linear layers whose product is the best approximation of a classifier (SAKE, TCN)."""

import torch
from torch import Tensor, nn


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


@torch.no_grad()
def inherit_classifier(embedding: nn.Linear, head: nn.Linear, weight: Tensor) -> None:
    """Start a layer and a head over it as the best approximation of a classifier.

    Args:
        embedding: Layer of width d over features (F). Rows beyond the rank of the classifier stay
            as they are; its bias becomes 0.
        head: Head over the layer, (C, d); its weights for those rows become 0.
        weight: Weight of the classifier, (C, F).
    """
    first, second = split_classifier(weight, embedding.out_features)
    embedding.weight[: len(first)] = first
    embedding.bias.zero_()
    head.weight.zero_()
    head.weight[:, : len(first)] = second
