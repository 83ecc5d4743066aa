"""Losses of adversarial training."""

import torch
from torch import Tensor


def lsgan_loss(scores: Tensor, labels: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Mean squared distance of a discriminator's scores from soft labels that are noisy.

    Least squares GAN (Mao et al., ICCV 2017). Each call draws a label for each score: near 1 for
    what is to be taken for real, near 0 for the rest.

    Args:
        scores: Outputs of the discriminator, not bounded, shape (B,).
        labels: Lowest and highest label, between which they are uniform; equal for hard labels.
        generator: Source of the labels, on the CPU.

    Returns:
        Scalar loss.

    >>> lsgan_loss(torch.tensor([1.0, 3.0]), (1.0, 1.0), torch.Generator())
    tensor(2.)
    """
    low, high = labels
    drawn = low + (high - low) * torch.rand(scores.shape, generator=generator).to(scores)
    return (scores - drawn).square().mean()
