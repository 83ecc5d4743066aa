"""Training samples that depend on seed, epoch and index alone.

Neither the number of workers nor that of processes changes what is drawn, so a resumed run and a
run on two GPUs see the triplets of an uninterrupted run on one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler

from data_modules.batch import ImageBatch, TripletBatch
from data_modules.images import FitTransform, read_image


class EpochSampler(DistributedSampler):
    """Shuffles like ``DistributedSampler`` and yields (epoch, index) pairs.

    The epoch travels with the index because a dataset inside a persistent worker never learns of
    ``set_epoch``.
    """

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of this process."""
        return iter([(self.epoch, index) for index in super().__iter__()])


class TripletDataset(Dataset):
    """One item a seen sketch: it, a random photo of its class, one of another class.

    Args:
        sketches: Class name to sketch files.
        photos: Class name to photo files; same classes.
        transform: Applied to all three images.
        seed: Of the random photos.
    """

    def __init__(
        self,
        sketches: Mapping[str, list[Path]],
        photos: Mapping[str, list[Path]],
        transform: FitTransform,
        seed: int = 0,
    ) -> None:
        self.classes = sorted(sketches)
        self.items = [(p, label) for label, c in enumerate(self.classes) for p in sketches[c]]
        self.photos = [photos[c] for c in self.classes]
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        """Number of seen sketches: an epoch is one pass over them."""
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> TripletBatch:
        """Draw the triplet of (epoch, index)."""
        epoch, index = key
        sketch, label = self.items[index]
        rng = np.random.default_rng((self.seed, epoch, index))
        other = int(rng.integers(len(self.classes) - 1))
        other += other >= label
        positive, negative = (
            photos[int(rng.integers(len(photos)))]
            for photos in (self.photos[label], self.photos[other])
        )
        sketch_image, photo_image, negative_image = (
            self.transform(read_image(path)) for path in (sketch, positive, negative)
        )
        return TripletBatch(sketch_image, photo_image, negative_image, torch.tensor(label))


class ImageDataset(Dataset):
    """Images of one side in a fixed order, for evaluation.

    Args:
        images: Class name to files.
        classes: Label order; shared by both sides of an evaluation.
        transform: Applied to each image.
    """

    def __init__(
        self, images: Mapping[str, list[Path]], classes: list[str], transform: FitTransform
    ) -> None:
        self.classes = classes
        self.items = [(p, label) for label, c in enumerate(classes) for p in images[c]]
        self.transform = transform

    def __len__(self) -> int:
        """Number of images."""
        return len(self.items)

    def __getitem__(self, index: int) -> ImageBatch:
        """Read one image."""
        path, label = self.items[index]
        image = self.transform(read_image(path))
        return ImageBatch(image, torch.tensor(label), torch.tensor(index))
