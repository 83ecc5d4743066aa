"""Training samples: a sketch and its photos, drawn by (seed, epoch, index) alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from data_modules.batch import BatchSpec, SecondSketch, TrainingBatch
from data_modules.datasets.image_source import ImageSource, check_strokes
from data_modules.datasets.singles import Singles
from data_modules.datasets.training import (
    NEGATIVE,
    POSITIVE,
    SKETCH,
    Listing,
    TrainingDataset,
    ring,
)
from data_modules.transforms import Side
from sketchclip.errors import SketchClipError

InstanceOf = Callable[[Path, Side], str]


class ClassPairs(TrainingDataset):
    """A sketch, a random photo of its class and, for triplets, one of another training class.

    Args:
        sketches: Class name to sketches.
        photos: Class name to photos.
        classes: Label order.
        source: Reads and augments.
        negatives: Whether to draw the photo of another class.
        second: Second sketch of a sample; see :class:`~data_modules.batch.BatchSpec`.
    """

    def __init__(
        self,
        sketches: Listing,
        photos: Listing,
        classes: Sequence[str],
        source: ImageSource,
        negatives: bool = True,
        second: SecondSketch = "none",
    ) -> None:
        super().__init__(sketches, photos, classes, source)
        self.negatives = negatives
        self.second = second
        self.check_second(2)
        if negatives and len(classes) < 2:
            raise SketchClipError(
                f"Found {len(classes)} training class; a triplet's negative is of another class, "
                "so at least 2 are needed."
            )

    def sample(self, rng: np.random.Generator, key: tuple[int, int]) -> TrainingBatch:
        """Draw photos of the sketch's class and of another one."""
        skipped: list[str] = []
        at, sketch = self.read(self.sketches, key[1] % len(self), skipped)
        label = self.sketches.label(at)
        tensor = self.source.tensor
        negative = second = None
        if self.negatives:
            other = int(rng.integers(len(self.classes) - 1))
            other += other >= label
        position, photo = self.read(self.photos, self._random(rng, label), skipped)
        if self.negatives:
            _, image = self.read(self.photos, self._random(rng, other), skipped)
            negative = tensor(image, "photo", key, NEGATIVE)
            second = self.second_sketch(rng, key, (label, other), skipped)
        return TrainingBatch(
            tensor(sketch, "sketch", key, SKETCH),
            tensor(photo, "photo", key, POSITIVE),
            negative,
            torch.tensor(label),
            torch.tensor(position),
            self.strokes(at),
            self.source.gives_features,
            skipped,
            second,
            torch.tensor(other) if self.negatives else None,
        )

    def _random(self, rng: np.random.Generator, label: int) -> int:
        return int(rng.integers(*self.photos.span(label)))


class InstanceTriplets(TrainingDataset):
    """A sketch, its own photo and another photo of the same class.

    Sketch and own photo are flipped and moved alike. Sketches without their photo, and classes with
    a single photo, are left out with one warning.

    Args:
        sketches: Class name to sketches.
        photos: Class name to photos.
        classes: Label order.
        source: Reads and augments.
        instance_of: Name that a sketch and its photo share within a class.
        second: Second sketch of a sample; see :class:`~data_modules.batch.BatchSpec`.

    Raises:
        SketchClipError: If no triplet is left.
    """

    def __init__(
        self,
        sketches: Listing,
        photos: Listing,
        classes: Sequence[str],
        source: ImageSource,
        instance_of: InstanceOf,
        second: SecondSketch = "none",
    ) -> None:
        paired: dict[str, list[Path]] = {}
        distinct: dict[str, list[Path]] = {}
        own: list[int] = []
        single: list[str] = []
        before = 0
        for name in classes:
            # Two files of one photo would make a negative of the positive.
            by_name: dict[str, Path] = {}
            for path in photos[name]:
                by_name.setdefault(instance_of(path, "photo"), path)
            at = {instance: before + i for i, instance in enumerate(by_name)}
            pairs = [(p, at[i]) for p in sketches[name] if (i := instance_of(p, "sketch")) in at]
            if len(at) < 2:
                pairs = []
                single.append(name)
            paired[name] = [path for path, _ in pairs]
            own += [position for _, position in pairs]
            distinct[name] = list(by_name.values())
            before += len(at)
        self.own = np.array(own, dtype=np.int64)
        _report_unpaired(sketches, paired, single)
        super().__init__(paired, distinct, classes, source)
        self.second = second
        self.check_second(1)

    def sample(self, rng: np.random.Generator, key: tuple[int, int]) -> TrainingBatch:
        """Draw another photo of the class."""
        skipped: list[str] = []
        start = key[1] % len(self)
        label = self.sketches.label(start)
        for at in ring(start, self.sketches.span(label)):
            positive = int(self.own[at])
            sketch = self.source.read(self.sketches.path(at), skipped)
            photo = self.source.read(self.photos.path(positive), skipped)
            if sketch is not None and photo is not None:
                break
        else:
            raise self.nothing_left(label, skipped)
        first, stop = self.photos.span(label)
        other = int(rng.integers(first, stop - 1))
        other += other >= positive
        _, negative = self.read(self.photos, other, skipped, avoid=positive)
        low, high = self.sketches.span(label)
        siblings = low + np.flatnonzero(self.own[low:high] == positive)
        tensor = self.source.tensor
        return TrainingBatch(
            tensor(sketch, "sketch", key, SKETCH),
            tensor(photo, "photo", key, POSITIVE, geometry=SKETCH),
            tensor(negative, "photo", key, NEGATIVE),
            torch.tensor(label),
            torch.tensor(positive),
            self.strokes(at),
            self.source.gives_features,
            skipped,
            self.second_sketch(rng, key, (label, label), skipped, siblings[siblings != at]),
        )


def _report_unpaired(sketches: Listing, paired: Listing, single: Sequence[str]) -> None:
    total = sum(len(sketches[name]) for name in paired)
    kept = sum(map(len, paired.values()))
    if kept == total:
        return
    lost = [p for name in paired for p in sorted({*sketches[name]} - {*paired[name]})]
    reason = "have no photo of their own, found by name"
    if single:
        reason += f", or are of one of the {len(single)} classes with a single photo " + (
            f"({', '.join(single[:4])}{', ...' if single[4:] else ''})"
        )
    if not kept:
        raise SketchClipError(
            f"The method needs each sketch's own photo and another of its class, but all {total:,} "
            f"training sketches {reason}. Example: {lost[0]}. Expected names such as "
            "photo/<class>/x.jpg and sketch/<class>/x-1.png; use data with such pairs (Sketchy, "
            "EmojiPairs) or a category-level method."
        )
    rank_zero_warn(
        f"Left out {len(lost):,} of {total:,} training sketches: they {reason}. Example: {lost[0]}."
    )


def training_dataset(
    spec: BatchSpec,
    sketches: Listing,
    photos: Listing,
    classes: Sequence[str],
    source: ImageSource,
    instance_of: InstanceOf,
) -> TrainingDataset:
    """Make the dataset that a method asks for.

    Raises:
        SketchClipError: If the data cannot give such samples.
    """
    dataset: TrainingDataset
    if spec.pairing == "instance_triplet":
        dataset = InstanceTriplets(
            sketches, photos, classes, source, instance_of, spec.second_sketch
        )
    elif spec.pairing == "singles":
        dataset = Singles(sketches, photos, classes, source, spec.sketch_ratio)
    else:
        triplets = spec.pairing == "class_triplet"
        dataset = ClassPairs(sketches, photos, classes, source, triplets, spec.second_sketch)
    if spec.stroke_points:
        check_strokes(path for path, _ in dataset.sketches)
    return dataset
