"""Relation of a sketch and a photo by the cosines of their patches (ZSE-SBIR, CVPR 2023).

Released code: buptLinfy/ZSE-SBIR @ 88f87f7, model/model.py and model/rn.py.
"""

from itertools import pairwise
from math import isqrt
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sketchclip.errors import SketchClipError

TokenMap = Literal["grid", "official"]


def cosine_matrix(sketches: Tensor, photos: Tensor) -> Tensor:
    """Cosines of all tokens of the sketch and of the photo of each pair, in fp32 at least.

    Args:
        sketches: Shape (B, n, D).
        photos: Shape (B, m, D).

    Returns:
        Shape (B, n, m); 0 for a token that is 0.

    >>> both = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    >>> cosine_matrix(both, both)
    tensor([[[1., 0.],
             [0., 0.]]])
    """
    left, right = (x if x.dtype == torch.float64 else x.float() for x in (sketches, photos))
    return normalize(left, dim=-1) @ normalize(right, dim=-1).transpose(-1, -2)


class PatchGrid(nn.Module):
    """Patch tokens on their grid, four neighbours joined by a convolution.

    A row and a column of an odd grid that are left over are dropped.

    Args:
        width: Numbers of a token.
        patches: Number of patch tokens, a square.
        dim: Numbers of a joined token.
        token_map: grid puts each token at its place. official reads the memory of the tokens,
            (N, width), as a map (width, side, side), as the released code does; a channel then is
            N numbers in a row, of one token or two.

    Attributes:
        count: Number of joined tokens.

    Raises:
        SketchClipError: If the patches are no square of at least 2 x 2.
    """

    def __init__(self, width: int, patches: int, dim: int, token_map: TokenMap = "grid") -> None:
        super().__init__()
        self.side = isqrt(patches)
        if self.side < 2 or self.side**2 != patches:
            raise SketchClipError(
                f"The encoder gives {patches} patch tokens: expected those of a square grid of at "
                "least 2 x 2. Choose a plain ViT, or a larger --model.encoder.size."
            )
        self.token_map = token_map
        self.join = nn.Conv2d(width, dim, 2, stride=2)
        self.count = (self.side // 2) ** 2

    def forward(self, tokens: Tensor) -> Tensor:
        """Join patch tokens, (B, N, width) to (B, count, dim)."""
        shape = (len(tokens), tokens.shape[2], self.side, self.side)
        laid = tokens.transpose(1, 2) if self.token_map == "grid" else tokens
        joined: Tensor = self.join(laid.reshape(shape))
        return joined.flatten(2).transpose(1, 2)


class RelationHead(nn.Module):
    """Logit that a sketch and a photo are alike, of the n x n cosines of their joined tokens.

    An MLP of n^2, n sqrt(n), n numbers and one: 2401, 343, 49 and 1 for n = 49, with ReLU and
    dropout between.

    Args:
        count: Number n of joined tokens.
        rate: Part of the numbers that dropout drops.
    """

    def __init__(self, count: int, rate: float = 0.1) -> None:
        super().__init__()
        sizes = (count**2, count * isqrt(count), count)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(sizes):
            layers += [nn.Linear(inside, outside), nn.ReLU(), nn.Dropout(rate)]
        self.layers = nn.Sequential(*layers, nn.Linear(count, 1))

    def forward(self, cosines: Tensor) -> Tensor:
        """Logits (B,) of cosines (B, n, n), rows of the sketch; their sigmoid is the score."""
        return cast(Tensor, self.layers(cosines.flatten(1)))[:, 0]
