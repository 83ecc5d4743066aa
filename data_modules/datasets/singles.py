"""Training on single images of both sides."""

from collections.abc import Sequence

import numpy as np
import torch

from data_modules.batch import ImageBatch
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.training import SKETCH, Listing, TrainingDataset


class Singles(TrainingDataset):
    """Single images of both sides: each sketch once an epoch, and photos, drawn in a ratio or all.

    Args:
        sketches: Class name to sketches.
        photos: Class name to photos.
        classes: Label order.
        source: Reads and augments.
        sketch_ratio: Part of the images that are sketches, above 0 and at most 1. The sampler mixes
            the sides, so a batch keeps the ratio on average. None for every photo once.
    """

    batch = ImageBatch

    def __init__(
        self,
        sketches: Listing,
        photos: Listing,
        classes: Sequence[str],
        source: ImageSource,
        sketch_ratio: float | None = 0.5,
    ) -> None:
        super().__init__(sketches, photos, classes, source)
        self.all_photos = sketch_ratio is None
        self.drawn = len(self.photos)
        if sketch_ratio is not None:
            self.drawn = round(len(self.sketches) * (1 - sketch_ratio) / sketch_ratio)

    def __len__(self) -> int:
        """Number of sketches and of photos in an epoch."""
        return len(self.sketches) + self.drawn

    def sample(self, rng: np.random.Generator, key: tuple[int, int]) -> ImageBatch:
        """Read the image of the index, or draw a photo."""
        skipped: list[str] = []
        is_photo = key[1] >= len(self.sketches)
        table = self.photos if is_photo else self.sketches
        at = key[1] - len(self.sketches) if is_photo else key[1]
        if is_photo and not self.all_photos:
            at = int(rng.integers(len(self.photos)))
        at, image = self.read(table, at, skipped)
        strokes = None
        if self.source.stroke_points:
            strokes = self.source.no_strokes() if is_photo else self.strokes(at)
        return ImageBatch(
            self.source.tensor(image, "photo" if is_photo else "sketch", key, SKETCH),
            torch.tensor(table.label(at)),
            torch.tensor(at),
            torch.tensor(at if is_photo else -1),
            torch.tensor(int(is_photo)),
            strokes,
            self.source.gives_features,
            skipped,
        )
