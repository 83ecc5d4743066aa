"""Codes of prototypical traits that sketches share (CC-DG, Pang et al., CVPR 2019)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softmax


class TraitNetwork(nn.Module):
    """Describes features by K traits, and gives back the features that they stand for.

    A code is a softmax over K traits; features that it stands for are the sum of K prototypes in
    these shares. In training the code is a Gumbel-softmax sample.

    Args:
        width: Numbers D of features; their length does not matter.
        codes: Number K of traits.
        hidden: Width of the inner layer.
        temperature: Of the softmax.
    """

    def __init__(self, width: int, codes: int, hidden: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, codes))
        self.decoder = nn.Linear(codes, width)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Codes (B, K) of features (B, D), each of sum 1.

        Args:
            features: Shape (B, D).
            generator: Randomness of Gumbel noise, on the CPU; None for the codes without noise.
        """
        scaled = normalize(features.float()) * features.shape[1] ** 0.5
        logits = self.encoder(scaled).float()
        if generator is not None:
            noise = torch.empty(logits.shape).exponential_(generator=generator).log()
            logits = logits - noise.to(logits.device)
        return softmax(logits / self.temperature, dim=1)

    def reconstruct(self, codes: Tensor) -> Tensor:
        """Features (B, D) that codes (B, K) stand for."""
        return cast(Tensor, self.decoder(codes))
