"""Decoders from an embedding to the strokes of a sketch and to the edges of a photo (Sketch3T)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PENS = (0.0, 1.0, -1.0)
"""Pen of a point as batches have it: within a stroke, at its last point, after the drawing."""


def pen_states(strokes: Tensor) -> Tensor:
    """Pen of each point, (B, N, 3) to one-hot (B, N, 3) in the order of ``PENS``."""
    return (strokes[..., 2:] == strokes.new_tensor(PENS)).to(strokes)


class StrokeDecoder(nn.Module):
    """A GRU that draws a sketch point by point, told the true point before (teacher forcing).

    Each step reads the embedding and the point before as x, y and the one-hot pen; the first one
    reads zeros. The gates are written out: the fused ones of cuDNN have no second derivative.

    Args:
        width: Numbers of an embedding.
        hidden: Numbers of the state.
    """

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.cell = nn.GRUCell(width + 5, hidden)
        self.out = nn.Linear(hidden, 5)

    def forward(self, embedding: Tensor, strokes: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the points of strokes.

        Args:
            embedding: Shape (B, width).
            strokes: True points, (B, N, 3), see ``TrainingBatch.strokes``.

        Returns:
            x and y, absolute, (B, N, 2), and logits of the pen, (B, N, 3).
        """
        points = torch.cat([strokes[..., :2], pen_states(strokes)], dim=-1)
        before = F.pad(points[:, :-1], (0, 0, 1, 0))
        fixed, moving = self.cell.weight_ih.split([embedding.shape[-1], 5], dim=1)
        known = F.linear(embedding, fixed, self.cell.bias_ih)
        inputs = F.linear(before, moving) + known.unsqueeze(1)
        state = embedding.new_zeros(len(embedding), self.cell.hidden_size)
        states = []
        for step in inputs.unbind(1):
            told = F.linear(state, self.cell.weight_hh, self.cell.bias_hh).chunk(3, dim=-1)
            reset, update, new = step.chunk(3, dim=-1)
            keep = torch.sigmoid(update + told[1])
            new = torch.tanh(new + torch.sigmoid(reset + told[0]) * told[2])
            state = new + keep * (state - new)
            states.append(state)
        drawn = self.out(torch.stack(states, dim=1))
        return drawn[..., :2], drawn[..., 2:]


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
