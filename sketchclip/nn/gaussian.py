"""Normal distributions that a network predicts."""

import torch
from torch import Tensor, nn

Normal = tuple[Tensor, Tensor]
"""Mean and logarithm of the variance, shape (B, D) each."""

MOST = 9.21
"""Largest logarithm of a variance: a standard deviation of 100."""


class GaussianHead(nn.Module):
    """Predicts mean and logarithm of the variance of a diagonal normal distribution.

    Args:
        width: Number of features.
        dim: Dimensions of the distribution.
        bounded: Whether a tanh bounds both to (-1, 1).
    """

    def __init__(self, width: int, dim: int, bounded: bool = False) -> None:
        super().__init__()
        self.mean = nn.Linear(width, dim)
        self.logvar = nn.Linear(width, dim)
        self.bounded = bounded

    def forward(self, x: Tensor) -> Normal:
        """Mean and log variance, (B, dim) each."""
        mean, logvar = self.mean(x), self.logvar(x)
        if self.bounded:
            return mean.tanh(), logvar.tanh()
        return mean, logvar.clamp(max=MOST)


def sample_normal(distribution: Normal, generator: torch.Generator) -> Tensor:
    """Sample by the reparameterisation mean + std x noise, (B, D); gradients flow through it.

    Args:
        distribution: Mean and log variance.
        generator: Source of the noise, on the CPU.
    """
    mean, logvar = distribution
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    return mean + (0.5 * logvar).exp() * noise
