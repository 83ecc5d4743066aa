"""Equal relative distances in all categories: the f-divergence loss of FG-ZS-SBIR."""

from typing import Literal

import torch
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
    >>> shifted = f_divergence(torch.tensor([0.0, 1.0, 5.0, 6.0]), labels)  # a shift is free
    >>> round(shifted.item(), 6)
    0.0
    """
    # In matrices of B x B, whose shape no label changes: a GPU need not be waited for.
    values, size = delta.float() / temperature, len(delta)
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    earlier = torch.ones_like(same).tril(-1)
    position = (same & earlier).sum(1)
    categories, smallest = (position == 0).sum(), same.sum(1).min()
    kept = position < smallest
    if order == "sorted":
        row, column = values.detach().unsqueeze(1), values.detach().unsqueeze(0)
        before = (column < row) | ((column == row) & earlier)
        position = (same & kept & before).sum(1)
    table = values.expand(size, size).masked_fill(~(same & kept), float("-inf"))
    log_p = values - table.logsumexp(1)
    # KL(i || j) is the sum of p_im (log p_im - log p_jm) over positions m, of all pairs at once.
    meets = ~same & kept & kept.unsqueeze(1) & (position.unsqueeze(0) == position.unsqueeze(1))
    differences = log_p.exp().unsqueeze(1) * (log_p.unsqueeze(1) - log_p.unsqueeze(0))
    pairs = categories * (categories - 1)
    comparable = (categories > 1) & (smallest > 1)
    return torch.where(meets & comparable, differences, 0.0).sum() / pairs.clamp(min=1)
