"""Equal relative distances in all categories: the f-divergence loss of FG-ZS-SBIR."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

DeltaOrder = Literal["as_sampled", "sorted"]


def f_divergence(
    delta: Tensor, labels: Tensor, temperature: float = 1.0, order: DeltaOrder = "as_sampled"
) -> Tensor:
    """Mean KL divergence between the categories' distributions of relative distances.

    Sain et al., CVPR 2023, L_delta: with delta = d(s, p+) - d(s, p-) of each triplet and D_c the
    softmax over the M triplets of category c, it is the sum over i != j of KL(D_i || D_j), divided
    by C (C - 1).

    The softmax forgets the mean of a category, so this equalises the shape of the distances only,
    and which triplet of one category meets which of another is arbitrary. With distances that
    differ by .1 the loss is about .01: a small value is no error.

    Args:
        delta: Relative distances, shape (B,).
        labels: Category of each, shape (B,), int64. The first M of each category count, M being
            the size of the smallest.
        temperature: Divides delta before the softmax.
        order: sorted compares equal ranks instead of equal positions in the batch.

    Returns:
        Scalar loss in nats; 0 with fewer than two categories or two triplets a category.

    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> f_divergence(torch.tensor([0.0, 1.0, 1.0, 0.0]), labels)
    tensor(0.4621)
    >>> f_divergence(torch.tensor([0.0, 1.0, 5.0, 6.0]), labels)  # a shift of a category is free
    tensor(0.)
    """
    _, category, counts = labels.unique(return_inverse=True, return_counts=True)
    size = int(counts.min())
    if len(counts) < 2 or size < 2:
        return 0.0 * delta.float().sum()  # a zero that backward() accepts
    by_category = category.argsort(stable=True)
    start = counts.cumsum(0) - counts
    rows = by_category[start.unsqueeze(1) + torch.arange(size, device=labels.device)]
    table = delta.float()[rows] / temperature
    if order == "sorted":
        table = table.sort(dim=1).values
    log_p = F.log_softmax(table, dim=1)
    p = log_p.exp()
    # KL(i || j) = sum_m p_im log p_im - sum_m p_im log p_jm; the diagonal is 0.
    divergences = (p * log_p).sum(1, keepdim=True) - p @ log_p.T
    off_diagonal = ~torch.eye(len(counts), dtype=torch.bool, device=labels.device)
    return divergences[off_diagonal].mean()
