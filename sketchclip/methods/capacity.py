"""Capacity: mean cosines of both sides that training holds near targets (MCC)."""

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import normalize

from data_modules.ranges import CheckedArguments, Cosine, NonNegative
from sketchclip.losses import capacity_loss, mean_cosine


class Capacity(CheckedArguments, nn.Module):
    """Holds the mean cosine of each side's embeddings near a target (Gong et al., IJCAI 2024).

    The paper gives no target. A mean cosine is at least 1/B in a batch of B, at least 1/C where C
    classes are equally frequent, and near 1 where all embeddings point one way, as CLIP's do; one
    with weights of 0 only logs it.

    Args:
        sketch: Mean cosine that sketches are to have.
        photo: Mean cosine that photos are to have.
        sketch_weight: Weight of the sketches' distance from it.
        photo_weight: Weight of the photos' distance from it.
        squared: Multiply by each weight twice, as the released code does.
    """

    def __init__(
        self,
        sketch: Cosine,
        photo: Cosine,
        sketch_weight: NonNegative = 1.0,
        photo_weight: NonNegative = 1.0,
        squared: bool = False,
    ) -> None:
        super().__init__()
        self.sketch = sketch
        self.photo = photo
        self.sketch_weight = sketch_weight
        self.photo_weight = photo_weight
        self.squared = squared

    def forward(self, sketch: Tensor, photo: Tensor) -> dict[str, Tensor]:
        """Loss and mean cosines of the batch of all processes.

        Args:
            sketch: Embeddings, need not be normalised, shape (B, D).
            photo: Embeddings of photos of the same classes, shape (B, D).

        Returns:
            Scalars by the names that they are logged under; the loss is ``train/capacity``.
        """
        found = [mean_cosine(_mean(side)) for side in (sketch, photo)]
        targets = ((self.sketch, self.sketch_weight), (self.photo, self.photo_weight))
        losses = [capacity_loss(c, *t, self.squared) for c, t in zip(found, targets, strict=True)]
        cosines = {"train/cosine_sketch": found[0], "train/cosine_photo": found[1]}
        return {"train/capacity": losses[0] + losses[1]} | cosines


def _mean(embeddings: Tensor) -> Tensor:
    """Mean direction, (D,), over all processes, which have equally many samples."""
    mean = normalize(embeddings.float(), dim=-1).mean(0)
    if dist.is_available() and dist.is_initialized():
        from torch.distributed.nn.functional import all_reduce  # not in every build of PyTorch

        mean = all_reduce(mean) / dist.get_world_size()
    return mean
