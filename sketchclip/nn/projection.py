"""Heads over embeddings: a projection to the sphere, prototypes on it (DINO), a jigsaw's solver."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Projection(nn.Sequential):
    """Three linear layers with GELU between them; the output has unit length.

    The projection of DINO's head (Caron et al., ICCV 2021), without BatchNorm; weights are drawn
    from a normal distribution of spread 0.02, cut at two units, and biases start at 0.

    Args:
        width: Numbers of an input.
        hidden: Numbers of the inner layers.
        dim: Numbers of an output.
    """

    def __init__(self, width: int, hidden: int = 2048, dim: int = 256) -> None:
        super().__init__(
            *(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()),
            nn.Linear(hidden, dim),
        )
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Project, (B, width) to (B, dim)."""
        return F.normalize(super().forward(x).float(), dim=1)


class PrototypeHead(nn.Module):
    """Cosines of a projected embedding with prototypes: DINO's head, its last layer normalised.

    Args:
        width: Numbers of an embedding.
        prototypes: Number of prototypes.
        hidden: See :class:`Projection`.
        dim: See there.
    """

    def __init__(self, width: int, prototypes: int, hidden: int = 2048, dim: int = 256) -> None:
        super().__init__()
        self.project = Projection(width, hidden, dim)
        self.prototypes = nn.Linear(dim, prototypes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Cosines with all prototypes, (B, width) to (B, prototypes), fp32."""
        projected = cast(Tensor, self.project(x))
        with torch.autocast(x.device.type, enabled=False):  # a temperature of 0.04 divides them
            return F.linear(projected, F.normalize(self.prototypes.weight.float(), dim=1))


class JigsawSolver(nn.Module):
    """Names the permutation of an image from its embedding beside that of a whole one (SpLIP).

    A Transformer encoder over two tokens without position, then a linear layer on their mean.

    Args:
        width: Numbers of an embedding.
        permutations: Number of permutations to tell apart.
        heads: Attention heads, which divide ``width``.
        layers: Layers of the encoder.
        dropout: Dropout of the encoder.
    """

    def __init__(
        self, width: int, permutations: int, heads: int = 8, layers: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.classify = nn.Linear(width, permutations)

    def forward(self, whole: Tensor, permuted: Tensor) -> Tensor:
        """Logits of the permutations, two times (B, width) to (B, permutations)."""
        tokens = self.encoder(torch.stack([whole, permuted], dim=1))
        return cast(Tensor, self.classify(tokens.mean(1)))
