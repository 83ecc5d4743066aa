"""Blocks of adversarial training on vectors, as SEM-PCYC has them (Dutta and Akata, CVPR 2019)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Generator(nn.Sequential):
    """Maps vectors to those of another space by three linear layers.

    BatchNorm, LeakyReLU of slope 0.2 and dropout follow the first two, whose width is the mean of
    the two spaces' widths, rounded down.

    Args:
        width: Numbers of an input.
        dim: Numbers of an output.
        dropout: Probability of dropout.
    """

    def __init__(self, width: int, dim: int, dropout: float = 0.5) -> None:
        hidden = (width + dim) // 2
        super().__init__(
            *(*_layer(width, hidden), nn.Dropout(dropout)),
            *(*_layer(hidden, hidden), nn.Dropout(dropout)),
            nn.Linear(hidden, dim),
        )


class Discriminator(nn.Module):
    """Scores how real vectors are by three linear layers, the inner ones half as wide as the input.

    BatchNorm and LeakyReLU of slope 0.2 follow the first two; nothing bounds the score.

    Args:
        width: Numbers of an input.
        noise: Standard deviation of the normal noise on the input in training.
    """

    def __init__(self, width: int, noise: float = 0.3) -> None:
        super().__init__()
        self.noise = noise
        hidden = max(width // 2, 1)
        self.layers = nn.Sequential(
            *_layer(width, hidden), *_layer(hidden, hidden), nn.Linear(hidden, 1)
        )

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Score vectors.

        Args:
            x: Shape (B, width).
            generator: Source of the noise, on the CPU.

        Returns:
            Scores, shape (B,).
        """
        if self.training:
            x = x + self.noise * torch.randn(x.shape, generator=generator).to(x)
        scores: Tensor = self.layers(x).squeeze(1)
        return scores


def call_constant(network: nn.Module, *inputs: Any) -> Any:
    """Call a network whose parameters take no gradient from this call; its inputs do.

    Statistics of BatchNorm are updated as in any other call.

    Args:
        network: A discriminator inside the loss of what it judges.
        *inputs: Arguments of its forward.

    Returns:
        Its output.

    >>> network = nn.Linear(1, 1)
    >>> x = torch.ones(1, 1, requires_grad=True)
    >>> call_constant(network, x).sum().backward()
    >>> x.grad.item() == network.weight.item(), network.weight.grad
    (True, None)
    """
    fixed = {name: parameter.detach() for name, parameter in network.named_parameters()}
    return functional_call(network, fixed, inputs)


def _layer(width: int, dim: int) -> tuple[nn.Module, ...]:
    return nn.Linear(width, dim), nn.BatchNorm1d(dim), nn.LeakyReLU(0.2)
