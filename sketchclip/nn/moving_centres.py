"""Moving averages of each side, equal in all processes (TVT, DINO)."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class TeacherCentres(nn.Module):
    """Moving average of the logits of each side's teacher, subtracted before its softmax.

    It starts at 0. A batch, the images of all processes, moves it after it was used.

    Args:
        width: Number of logits.
        momentum: Part of the old average that is kept.
    """

    means: Tensor

    def __init__(self, width: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("means", torch.zeros(2, width))

    @torch.no_grad()
    def update(self, logits: Tensor, side: int) -> None:
        """Move the centre of a side.

        Every process calls it, also with an empty batch.

        Args:
            logits: Of the teacher, (B, width); a side without any image keeps its centre.
            side: 0 for sketches, 1 for photos.
        """
        count = summed(torch.full((1,), float(len(logits)), device=logits.device))
        mean = summed(logits.float().sum(0)) / count.clamp(min=1)
        moved = self.momentum * self.means[side] + (1 - self.momentum) * mean
        self.means[side] = torch.where(count > 0, moved, self.means[side])


class ClassCentres(nn.Module):
    """Moving average of the embeddings of each class on each side, of unit length.

    Args:
        classes: Number of classes.
        width: Numbers of an embedding.
        momentum: Part of the old average that is kept.
    """

    centres: Tensor

    def __init__(self, classes: int, width: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(2, classes, width))

    def update(self, embedding: Tensor, label: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Move the centres of the classes in a batch, the images of all processes.

        Every process calls it, also with an empty batch. The gradient flows into the batch alone;
        averaged over the processes, as DDP does, it is that of the whole batch.

        Args:
            embedding: (B, D).
            label: Classes, (B,), int64.
            side: 0 for sketches, 1 for photos.

        Returns:
            The moved centres and those of the other side, (P, D) each, for the P classes of the
            batch; a class that the other side never had has a zero there.
        """
        embedding, classes = embedding.float(), self.centres.shape[1]
        chosen = F.one_hot(label, classes).to(embedding)
        with torch.autocast(embedding.device.type, enabled=False):
            counts, own = summed(chosen.sum(0)), chosen.T @ embedding
        total = summed(own.detach().clone()) + _processes() * (own - own.detach())
        present = counts > 0
        mean = total[present] / counts[present].unsqueeze(1)
        kept = self.centres[side][present].clone()
        moved = F.normalize(self.momentum * kept + (1 - self.momentum) * mean, dim=1)
        self.centres[side, present] = moved.detach().to(self.centres)
        return moved, self.centres[1 - side][present].clone()


def summed(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes, in place."""
    if _processes() > 1:
        dist.all_reduce(values)
    return values


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
