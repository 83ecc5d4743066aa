"""Decoder from an embedding to a small map, and the edges of a photo."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EdgeDecoder(nn.Sequential):
    """A layer and three transposed convolutions from an embedding to a map of numbers in (0, 1).

    Args:
        width: Numbers of an embedding.
        size: Side of the map in pixels, a multiple of 8.
        channels: Channels of the smallest map; each step halves them.
    """

    def __init__(self, width: int, size: int = 32, channels: int = 64) -> None:
        side = size // 8
        steps = [channels, channels // 2, channels // 4, 1]
        layers: list[nn.Module] = [
            nn.Linear(width, channels * side * side),
            nn.Unflatten(1, (channels, side, side)),
        ]
        for before, after in pairwise(steps):
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        super().__init__(*layers, nn.Sigmoid())


def sobel_edges(grey: Tensor, size: int) -> Tensor:
    """Edges of images: lengths of Sobel's gradients, averaged to a small map.

    Args:
        grey: Shape (B, 1, H, W).
        size: Side of the map in pixels.

    Returns:
        Shape (B, 1, size, size); the strongest edge of each map is 1, that of an even image 0.
    """
    kernel = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    around = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = F.conv2d(around, torch.stack([kernel, kernel.T]).unsqueeze(1))
    small = F.adaptive_avg_pool2d(across.square().sum(1, keepdim=True).sqrt(), size)
    return small / small.amax((2, 3), keepdim=True).clamp(min=1e-3)
