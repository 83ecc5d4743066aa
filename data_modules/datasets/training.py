"""The base of training datasets: samples by (epoch, index)."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from data_modules.batch import SecondSketch, TensorBatch, TrainingBatch
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.image_table import ImageTable
from sketchclip.errors import SketchClipError

Listing = Mapping[str, Sequence[Path]]

SKETCH, POSITIVE, NEGATIVE, SECOND = range(4)
"""Roles in a sample; each has a random stream of its own."""


class TrainingDataset(Dataset):
    """Samples by (epoch, index): the same key gives the same sample in any process.

    An index at or above the length is the sketch of ``index % len`` with other photos; a sampler
    uses such indices where a class has too few sketches. A bare index is of epoch 0.

    Args:
        sketches: Class name to sketches.
        photos: Class name to photos; same classes.
        classes: Label order.
        source: Reads and augments; its seed also decides the photos.
    """

    batch: type[TensorBatch] = TrainingBatch
    second: SecondSketch = "none"
    """Second sketch of a sample; see :class:`~data_modules.batch.BatchSpec`."""

    def __init__(
        self, sketches: Listing, photos: Listing, classes: Sequence[str], source: ImageSource
    ) -> None:
        self.classes = list(classes)
        self.sketches = ImageTable(sketches, classes)
        self.photos = ImageTable(photos, classes)
        self.source = source
        if not len(self.sketches):
            raise SketchClipError("There is no sketch to train on. See 'sketchclip data check'.")
        for name, count in zip(classes, self.photos.counts, strict=True):
            if not count:
                raise SketchClipError(
                    f"Class '{name}' has no photo to train on. Add some or remove the class."
                )

    def __len__(self) -> int:
        """Number of sketches: an epoch is one pass over them."""
        return len(self.sketches)

    def __getitem__(self, key: tuple[int, int] | int) -> TensorBatch:
        """Draw the sample of (epoch, index)."""
        epoch, index = (0, key) if isinstance(key, int) else key
        rng = np.random.default_rng((self.source.seed, epoch, index))
        return self.sample(rng, (int(epoch), int(index)))

    @abstractmethod
    def sample(self, rng: np.random.Generator, key: tuple[int, int]) -> TensorBatch:
        """Draw the sample of (epoch, index), with the randomness of that key."""

    def read(
        self, table: ImageTable, at: int, skipped: list[str], avoid: int = -1
    ) -> tuple[int, np.ndarray]:
        """Read an image, or the next readable one of its class, never that at ``avoid``.

        Returns:
            Position and pixels, (size, size, 3); ``skipped`` takes the files that were passed over.
        """
        for position in ring(at, table.span(table.label(at))):
            if position != avoid:
                image = self.source.read(table.path(position), skipped)
                if image is not None:
                    return position, image
        raise self.nothing_left(table.label(at), skipped)

    def second_sketch(
        self,
        rng: np.random.Generator,
        key: tuple[int, int],
        classes: tuple[int, int],
        skipped: list[str],
        siblings: np.ndarray | None = None,
    ) -> Tensor | None:
        """Draw the second sketch of a sample, (3, size, size); None if the method asks for none.

        Args:
            rng: Randomness of the sample; all else is drawn before.
            key: (epoch, index) of the sample.
            classes: Labels of the sketch and of the negative.
            skipped: Takes files that were passed over.
            siblings: Positions of the other sketches of its photo, which go first if there are any.
        """
        if self.second == "none":
            return None
        label = classes[0]
        if self.second == "other_class":
            others = np.setdiff1d(np.flatnonzero(self.sketches.counts), classes)
            label, siblings = int(rng.choice(others)), None
        if siblings is not None and len(siblings):
            at = int(rng.choice(siblings))
        else:
            at = int(rng.integers(*self.sketches.span(label)))
        _, image = self.read(self.sketches, at, skipped)
        return self.source.tensor(image, "sketch", key, SECOND)

    def check_second(self, distinct: int) -> None:
        """Refuse a second sketch of another class where no class with sketches is left.

        Args:
            distinct: Classes that sketch and negative are of.
        """
        found = int((self.sketches.counts > 0).sum())
        if self.second == "other_class" and found <= distinct:
            raise SketchClipError(
                f"Found {found} training classes with sketches; the second sketch is of a class of "
                f"its own, so at least {distinct + 1} are needed. Use --model.second_sketch "
                "same_class, or add classes."
            )

    def nothing_left(self, label: int, skipped: list[str]) -> SketchClipError:
        """Error for a class of which no sample is left."""
        return SketchClipError(
            f"Class '{self.classes[label]}' has no readable sample left; data.on_error=skip found "
            f"{len(set(skipped))} unreadable files, such as {skipped[-1] if skipped else 'none'}. "
            "Repair them or remove the class."
        )

    def strokes(self, at: int) -> Tensor | None:
        """Stroke sequence of the sketch at a position, (N, 3); None if the method asks for none."""
        return self.source.strokes(self.sketches.path(at)) if self.source.stroke_points else None


def ring(at: int, span: tuple[int, int]) -> Iterator[int]:
    """Positions of a span from ``at`` on, once around.

    >>> list(ring(4, (3, 6)))
    [4, 5, 3]
    """
    first, stop = span
    yield from range(at, stop)
    yield from range(first, at)
