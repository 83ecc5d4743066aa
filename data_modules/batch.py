"""The contract between data modules and methods: what a batch holds and how images are prepared."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from data_modules.transforms import Fit, Interpolation, Resize, Side
from sketchclip.errors import SketchClipError

Pairing = Literal["class_triplet", "instance_triplet", "class_pair", "singles"]
BatchLayout = Literal["shuffled", "classes"]
SecondSketch = Literal["none", "same_class", "other_class"]
Channels = tuple[float, ...]
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

B = TypeVar("B", bound="TensorBatch")
SIDES: tuple[Side, Side] = ("sketch", "photo")
"""Sides of a pair; a batch holds their position in this tuple."""


@dataclass(frozen=True)
class Preprocessing:
    """Steps from a decoded image to the numbers that a model reads.

    Made once a run, by the data module; checkpoints, search and exported models keep it.

    Attributes:
        size: Side of the square input in pixels.
        mean: Mean of each channel in [0, 1], subtracted.
        std: Standard deviation of each channel, divided by.
        resize: How images become square; see :class:`~data_modules.transforms.Fit`.
        interpolation: Interpolation of resizing.
    """

    size: int
    mean: Channels
    std: Channels
    resize: Resize = "letterbox"
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        """Refuse what a damaged file may say.

        Raises:
            SketchClipError: If no image can be prepared so.
        """
        numbers = (*self.mean, *self.std)
        if (
            not (type(self.size) is int and self.size > 0)
            or not len(self.mean) == len(self.std) in (1, 3)
            or not all(isinstance(number, int | float) for number in numbers)
            or not (np.isfinite(numbers).all() and min(self.std) > 0)
            or self.resize not in get_args(Resize)
            or self.interpolation not in get_args(Interpolation)
        ):
            raise SketchClipError(
                "expected a size of at least 1, mean and std (above 0) of one or three channels, "
                f"resize ({', '.join(get_args(Resize))}) and interpolation "
                f"({', '.join(get_args(Interpolation))}), found {self}"
            )

    @property
    def fit(self) -> Fit:
        """The resizing step: uint8 RGB (H, W, 3) to (size, size, 3)."""
        return Fit(self.size, self.resize, self.interpolation)


@dataclass(frozen=True)
class BatchSpec:
    """Training batches that a method asks for; the data module builds them.

    Attributes:
        pairing: Content of a sample. class_triplet: a sketch, a photo of its class, a photo of
            another class. instance_triplet: a sketch, its own photo, another photo of its class.
            class_pair: a sketch and a photo of its class. singles: one image of either side.
        layout: shuffled, or classes: every batch holds data.classes_per_batch classes with equally
            many samples each.
        second_sketch: Another sketch in each sample. same_class: any of the sketch's class; for
            pairing=instance_triplet another one of its photo, where there is one. other_class: one
            of a class that neither the sketch nor the negative is of. For triplets only.
        sketch_ratio: Part of the samples that are sketches, for pairing=singles; None for every
            sketch and every photo once an epoch.
        smallest_batch: Samples that a step needs at least; a smaller last batch of an epoch is left
            out. Normalisation over the batch needs two.
        stroke_points: Length of the stroke sequences in a batch; 0 for none.
        image_size: Side of the square input in pixels.
        mean: Mean of each channel in [0, 1].
        std: Standard deviation of each channel.
        interpolation: Interpolation of resizing.
        features: Identity of the frozen encoder whose output training takes in place of images;
            None for images.

    Raises:
        SketchClipError: If a value is not one of those listed.
    """

    pairing: Pairing = "class_triplet"
    layout: BatchLayout = "shuffled"
    second_sketch: SecondSketch = "none"
    sketch_ratio: float | None = 0.5
    smallest_batch: int = 1
    stroke_points: int = 0
    image_size: int = 224
    mean: Channels = CLIP_MEAN
    std: Channels = CLIP_STD
    interpolation: Interpolation = "bicubic"
    features: str | None = None

    def __post_init__(self) -> None:
        """Refuse typing errors where the method is defined."""
        choices = {"pairing": Pairing, "layout": BatchLayout, "second_sketch": SecondSketch}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise SketchClipError(
                    f"BatchSpec({name}={getattr(self, name)!r}): expected one of "
                    f"{', '.join(get_args(allowed))}."
                )
        if self.sketch_ratio is not None and not 0 < self.sketch_ratio <= 1:
            raise SketchClipError(
                f"BatchSpec(sketch_ratio={self.sketch_ratio}): expected the part of sketches among "
                "the images of a batch, above 0 and at most 1, or None for all images of both."
            )
        if self.pairing == "singles" and self.layout == "classes":
            raise SketchClipError(
                "BatchSpec(pairing='singles', layout='classes'): single images have no batches of "
                "classes."
            )
        if self.second_sketch != "none" and "triplet" not in self.pairing:
            raise SketchClipError(
                f"BatchSpec(pairing={self.pairing!r}, second_sketch={self.second_sketch!r}): "
                "expected a pairing of triplets, which alone have a second sketch."
            )
        if self.stroke_points < 0:
            raise SketchClipError(
                f"BatchSpec(stroke_points={self.stroke_points}): expected 0 or more points."
            )


@dataclass
class TensorBatch:
    """Dataclass of tensors, absent ones (None) and lists; it pins, moves and collates as one."""

    def map_tensors(self: B, function: Callable[[Tensor], Tensor]) -> B:
        """Apply a function to every tensor; all else is taken over."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(
            **{n: function(v) if isinstance(v, Tensor) else v for n, v in values.items()}
        )

    def to(self: B, device: torch.device | str, **options: Any) -> B:
        """Move every tensor; Lightning calls this."""
        return self.map_tensors(lambda tensor: tensor.to(device, **options))

    def pin_memory(self: B) -> B:
        """Pin every tensor; PyTorch's loader calls this."""
        return self.map_tensors(Tensor.pin_memory)

    @classmethod
    def collate(cls: type[B], items: list[B]) -> B:
        """Make a batch of a dataset's items: tensors are stacked, lists joined."""
        return cls(**{f.name: _join([getattr(i, f.name) for i in items]) for f in fields(cls)})


def _join(values: list[Any]) -> Any:
    if isinstance(values[0], list):
        return [entry for value in values for entry in value]
    if values[0] is None or isinstance(values[0], bool):
        return values[0]
    # In a worker, default_collate stacks straight into the memory that it shares.
    if values[0].dtype == torch.uint8:  # images are stored as they were read, (H, W, 3)
        return default_collate([value.permute(1, 2, 0) for value in values]).permute(0, 3, 1, 2)
    return default_collate(values)


@dataclass
class ImageBatch(TensorBatch):
    """Images by themselves: one side in evaluation, both mixed in training on singles.

    Images are uint8 until the data module's ``normalize``, which Lightning runs on the device.

    Attributes:
        image: RGB, (B, 3, H, W).
        label: Class ids in the evaluated split, (B,), int64.
        index: Position of each image in its dataset, (B,), int64; -1 marks an image that could not
            be read: it is white and no part of the results.
        instance: (B,), int64: of a photo its position among the photos, of a sketch that of its own
            photo, -1 if it has none.
        side: 0 for sketches, 1 for photos, (B,), int64.
        strokes: (B, N, 3), for methods that ask for them; see TrainingBatch. Photos have none.
        features: Whether ``image`` holds features, (B, D), of a frozen encoder.
        skipped: Files that could not be read.
    """

    image: Tensor
    label: Tensor
    index: Tensor
    instance: Tensor | None = None
    side: Tensor | None = None
    strokes: Tensor | None = None
    features: bool = False
    skipped: list[str] = field(default_factory=list)


@dataclass
class TrainingBatch(TensorBatch):
    """Sketches with a positive and mostly a negative photo each.

    Images are uint8 until the data module's ``normalize``, which Lightning runs on the device.

    Attributes:
        sketch: (B, 3, H, W).
        photo: Positive, (B, 3, H, W).
        negative: (B, 3, H, W); None for pairs.
        label: Class of sketch and positive among the training classes, (B,), int64.
        instance: Position of the positive among the training photos, (B,), int64.
        strokes: Points of the sketch, (B, N, 3), fp32: x and y in [0, 1], y down, and the pen, 0
            within a stroke, 1 at its last point, -1 for padding; None unless a method asks.
        features: Whether sketch, photo and negative are features, (B, D), of a frozen encoder.
        skipped: Files that could not be read and were replaced.
        second_sketch: Another sketch, (B, 3, H, W), as ``BatchSpec.second_sketch`` says; None
            unless a method asks.
        negative_label: Class of the negative, (B,), int64; None without one, or where it is that of
            the sketch.
    """

    sketch: Tensor
    photo: Tensor
    negative: Tensor | None
    label: Tensor
    instance: Tensor | None = None
    strokes: Tensor | None = None
    features: bool = False
    skipped: list[str] = field(default_factory=list)
    second_sketch: Tensor | None = None
    negative_label: Tensor | None = None


@dataclass(frozen=True)
class Protocol:
    """Protocol by which a dataset's results are measured.

    Attributes:
        name: Shown with every result.
        map_k: Cut-offs of mAP@k, strict (divided by min(relevant, k)); mAP@all is always there.
        precision_k: Cut-offs of P@k.
        instances: Whether sketches are of one photo each, so that Acc@q is reported. A method that
            trains on such pairs reports it on any dataset.
    """

    name: str = "full gallery of unseen classes, mAP@k strict"
    map_k: tuple[int, ...] = (200,)
    precision_k: tuple[int, ...] = (100, 200)
    instances: bool = False

    def within(self, photos: int) -> "Protocol":
        """Leave out the cut-offs that a gallery of so many photos has no use for.

        Of fewer than k photos, P@k could not reach 1, and mAP@k is mAP@all.

        >>> fitting = Protocol(map_k=(100, 200), precision_k=(100, 200)).within(150)
        >>> fitting.map_k, fitting.precision_k
        ((100,), (100,))
        """
        map_k = tuple(k for k in self.map_k if k < photos)
        return replace(
            self, map_k=map_k, precision_k=tuple(k for k in self.precision_k if k <= photos)
        )
