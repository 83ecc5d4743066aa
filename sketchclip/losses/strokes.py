"""Reconstruction of strokes (Sain et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def stroke_loss(
    points: Tensor, pens: Tensor, strokes: Tensor, states: Tensor, weights: Tensor
) -> Tensor:
    """Distance of drawn strokes from the true ones, a mean over the sketches of a batch.

    Of a sketch: the mean over its points t of weights_t |xy_t - points_t|^2, and the mean cross
    entropy of the pen over its points and the one behind the last, where the drawing ends.

    Args:
        points: Drawn x and y, (B, N, 2).
        pens: Logits of the pen, (B, N, 3).
        strokes: True points, (B, N, 3): x, y, and a pen that is below 0 behind the last point.
        states: True pen, one-hot, (B, N, 3).
        weights: Weight of each step, (N,).

    Returns:
        Scalar loss.

    >>> import torch
    >>> dot, pen = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]]), torch.eye(3)[None, 1:]
    >>> float(stroke_loss(torch.full((1, 2, 2), 3.0), 50 * pen, dot, pen, torch.ones(2)))
    18.0
    """
    real = strokes[..., 2] >= 0
    distance = (points.float() - strokes[..., :2]).square().sum(-1)
    drawn = (weights * distance * real).sum(1) / real.sum(1).clamp(min=1)
    told = F.pad(real[:, :-1].to(distance), (1, 0), value=1.0)
    entropy = -(states * torch.log_softmax(pens.float(), dim=-1)).sum(-1)
    return torch.mean(drawn + (entropy * told).sum(1) / told.sum(1))
