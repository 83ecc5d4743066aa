"""Cross attention of a sketch and a photo (ZSE-SBIR, Lin et al., CVPR 2023).

Equations of the released code, buptLinfy/ZSE-SBIR @ 88f87f7; where the text differs, an option.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from sketchclip.errors import SketchClipError

Swap = Literal["keys", "queries"]


class UnbiasedLayerNorm(nn.Module):
    """N(x) = g (x - mean) / (std + 1e-6) + b over the last dimension, std with n - 1.

    Args:
        width: Numbers of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise tokens, (..., width)."""
        spread = x.std(-1, keepdim=True) + 1e-6
        return self.weight * (x - x.mean(-1, keepdim=True)) / spread + self.bias


class CrossLayer(nn.Module):
    """One direction: tokens of a side, changed by those of the other side.

    attention(q, k, v) = softmax((q Wq)(k Wk)' / sqrt(width / heads)) (v Wv) Wo;
    x = N1(own + a), c = N2(x + FF(x)), with dropout on the weights of the attention, in FF and on
    both sums.

    Args:
        width: Numbers of a token.
        heads: Heads of the attention.
        hidden: Width of the feed-forward network's inner layer.
        rate: Part of the numbers that dropout drops.
        swap: What the other side gives; see :class:`CrossAttention`.
    """

    def __init__(self, width: int, heads: int, hidden: int, rate: float, swap: Swap) -> None:
        super().__init__()
        self.heads, self.rate, self.swap = heads, rate, swap
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.forward_layers = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(rate), nn.Linear(hidden, width)
        )
        self.norms = nn.ModuleList(UnbiasedLayerNorm(width) for _ in range(2))
        self.drop = nn.Dropout(rate)

    def attend(self, own: Tensor, other: Tensor) -> Tensor:
        """Output of the attention, (B, N, width), for tokens of both sides, (B, N, width)."""
        q, k = (own, other) if self.swap == "keys" else (other, own)
        split = (self.heads, own.shape[-1] // self.heads)
        parts = zip((self.query, self.key, self.value), (q, k, own), strict=True)
        q, k, v = (layer(x).unflatten(-1, split).transpose(1, 2) for layer, x in parts)
        scores = (q @ k.transpose(-1, -2)).float() / split[1] ** 0.5
        shares = dropout(scores.softmax(-1).to(v.dtype), self.rate, self.training)
        return cast(Tensor, self.out((shares @ v).transpose(1, 2).flatten(2)))

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Change the tokens of a side by those of the other, both (B, N, width)."""
        x = self.norms[0](own + self.drop(self.attend(own, other)))
        changed: Tensor = self.norms[1](x + self.drop(self.forward_layers(x)))
        return changed


class CrossAttention(nn.Module):
    """Both directions of cross attention, with weights of their own.

    Both read the tokens that come in, not each other's output. Values are always a side's own.

    Args:
        width: Numbers of a token; a multiple of heads.
        heads: Heads of the attention.
        hidden: Width of the inner layer of the feed-forward networks.
        rate: Part of the numbers that dropout drops.
        swap: keys (released code): a side's queries meet the other's keys, so that its values are
            read at the positions of the other. queries (text): the other's queries meet its keys.

    Raises:
        SketchClipError: If the heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int = 8,
        hidden: int = 1024,
        rate: float = 0.1,
        swap: Swap = "keys",
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise SketchClipError(
                f"model.heads={heads}: expected a divisor of the {width} numbers of a token of "
                "the encoder."
            )
        self.sketch = CrossLayer(width, heads, hidden, rate, swap)
        self.photo = CrossLayer(width, heads, hidden, rate, swap)

    def forward(self, sketches: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of pairs after the attention.

        Args:
            sketches: Tokens of the sketch of each pair, (B, N, width).
            photos: Tokens of the photo of each pair, as many, (B, N, width).

        Returns:
            Tokens of the sketches and of the photos, (B, N, width) each.
        """
        return self.sketch(sketches, photos), self.photo(photos, sketches)
