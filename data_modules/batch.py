"""Typed batches and the evaluation protocol that a dataset comes with."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

B = TypeVar("B", bound="TensorBatch")


@dataclass
class TensorBatch:
    """Dataclass of tensors that pins and moves as one."""

    def _map(self: B, function: Callable[[Tensor], Tensor]) -> B:
        return type(self)(**{f.name: function(getattr(self, f.name)) for f in fields(self)})

    def to(self: B, device: torch.device | str, **options: Any) -> B:
        """Move every tensor; Lightning calls this."""
        return self._map(lambda tensor: tensor.to(device, **options))

    def pin_memory(self: B) -> B:
        """Pin every tensor; PyTorch's loader calls this."""
        return self._map(Tensor.pin_memory)

    @classmethod
    def collate(cls: type[B], items: list[B]) -> B:
        """Stack items of a dataset into a batch."""
        return cls(
            **{f.name: torch.stack([getattr(i, f.name) for i in items]) for f in fields(cls)}
        )


@dataclass
class ImageBatch(TensorBatch):
    """Images of one side, for evaluation.

    Attributes:
        image: Normalised RGB, (B, 3, H, W).
        label: Class ids in the evaluated split, (B,), int64.
        index: Position of each image in its dataset, (B,), int64.
    """

    image: Tensor
    label: Tensor
    index: Tensor


@dataclass
class TripletBatch(TensorBatch):
    """Sketches with a positive and a negative photo each, for training.

    Attributes:
        sketch: (B, 3, H, W).
        photo: Positive, (B, 3, H, W).
        negative: (B, 3, H, W).
        label: Class of sketch and positive among the seen classes, (B,), int64.
    """

    sketch: Tensor
    photo: Tensor
    negative: Tensor
    label: Tensor


@dataclass(frozen=True)
class Protocol:
    """How a dataset's results are measured.

    Attributes:
        name: Shown with every result.
        map_k: Cut-offs of mAP@k, strict (divided by min(relevant, k)); mAP@all is always there.
        precision_k: Cut-offs of P@k.
    """

    name: str = "full gallery of unseen classes, mAP@k strict"
    map_k: tuple[int, ...] = (200,)
    precision_k: tuple[int, ...] = (100, 200)
