"""Divergence between diagonal normal distributions."""

import torch
from torch import Tensor

Normal = tuple[Tensor, Tensor]
"""Mean and logarithm of the variance, shape (B, D) each."""


def kl_normal(p: Normal, q: Normal | None = None) -> Tensor:
    """Kullback-Leibler divergence KL(p || q), summed over dimensions, mean over the batch.

    Args:
        p: Distribution of each sample.
        q: The other one; None for the standard normal.

    Returns:
        Scalar in nats.

    >>> one = torch.ones(1, 2), torch.zeros(1, 2)
    >>> kl_normal(one), kl_normal(one, one)
    (tensor(1.), tensor(0.))
    """
    mean, logvar = p
    other_mean, other_logvar = (torch.zeros_like(mean),) * 2 if q is None else q
    spread = (logvar.exp() + (mean - other_mean).square()) / other_logvar.exp()
    return 0.5 * (other_logvar - logvar + spread - 1.0).sum(1).mean()
