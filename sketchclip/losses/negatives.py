"""Negatives that are already in the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchclip.losses.triplet import cosine_distance


def other_class_positions(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Choose for each sample a random one of another class of the batch.

    Args:
        labels: Class of each sample, shape (B,), int64.
        generator: Source of randomness, on the CPU.

    Returns:
        Positions, shape (B,), int64; -1 where the batch has no other class.

    >>> other_class_positions(torch.tensor([0, 0, 1])).tolist()[:2]
    [2, 2]
    """
    keys = torch.rand(len(labels), len(labels), generator=generator)
    keys = keys.to(labels.device, non_blocking=True)  # the step waits for nothing
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    chosen = keys.masked_fill(same, -1.0).argmax(1)
    return chosen.masked_fill(same.all(1), -1)


def hardest_negatives(
    sketches: Tensor, photos: Tensor, negatives: Tensor, labels: Tensor, instances: Tensor
) -> Tensor:
    """Choose for each sketch the nearest photo of its class that is not its own.

    Candidates are the positives of the batch and the sketch's sampled negative, so that there is
    always one.

    Args:
        sketches: Embeddings of the sketches, shape (B, D).
        photos: Embeddings of their own photos, shape (B, D).
        negatives: Embeddings of another photo of each class, shape (B, D).
        labels: Class of each sketch, shape (B,), int64.
        instances: Number of each sketch's own photo, shape (B,), int64.

    Returns:
        Embeddings of the nearest photos, shape (B, D), with gradients.
    """
    with torch.no_grad():
        units = [F.normalize(x.float(), dim=-1) for x in (sketches, photos)]
        distances = 1.0 - units[0] @ units[1].T
        candidates = labels.unsqueeze(0) == labels.unsqueeze(1)
        candidates &= instances.unsqueeze(0) != instances.unsqueeze(1)
        nearest, position = distances.masked_fill(~candidates, float("inf")).min(1)
        in_batch = nearest < cosine_distance(sketches, negatives)
    return torch.where(in_batch.unsqueeze(1), photos[position], negatives)
