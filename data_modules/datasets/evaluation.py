"""Queries and galleries: images of one side in a fixed order."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from data_modules.batch import SIDES, ImageBatch
from data_modules.datasets.image_source import ImageSource, check_strokes, to_tensor
from data_modules.datasets.image_table import ImageTable
from data_modules.datasets.pairing import InstanceOf
from data_modules.datasets.training import Listing
from data_modules.transforms import Side


class ImageDataset(Dataset):
    """Images of one side for evaluation.

    An unreadable image, where the source passes it over, keeps its place: white, with index -1.

    Args:
        images: Class name to files.
        classes: Label order; shared by both sides of an evaluation.
        source: Reads images.
        side: sketch or photo.
        size: Side of the square in pixels.
        instance: Position of each image's photo in the gallery, (N,), -1 for none.

    Attributes:
        items: (path, label) by position.
        classes: Label order.
    """

    def __init__(
        self,
        images: Listing,
        classes: Sequence[str],
        source: ImageSource,
        side: Side,
        size: int,
        instance: np.ndarray,
    ) -> None:
        self.classes = list(classes)
        self.items = ImageTable(images, classes)
        self.source = source
        self.side = side
        self.size = size
        self.instance = instance

    def __len__(self) -> int:
        """Number of images."""
        return len(self.items)

    def __getitem__(self, index: int) -> ImageBatch:
        """Read one image."""
        path, label = self.items[index]
        skipped: list[str] = []
        image = self.source.read(path, skipped)
        strokes = None
        if self.source.stroke_points:
            # A drawing that cannot be read has been passed over above.
            drawn = self.side == "sketch" and image is not None
            strokes = self.source.strokes(path) if drawn else self.source.no_strokes()
        found = image is not None
        if image is None:
            image = np.full((self.size, self.size, 3), 255, np.uint8)
        return ImageBatch(
            to_tensor(image),
            torch.tensor(label),
            torch.tensor(index if found else -1),
            torch.tensor(int(self.instance[index])),
            torch.tensor(int(self.side == "photo")),
            strokes,
            skipped=skipped,
        )

    def readable(self, unreadable: Collection[str]) -> int:
        """Number of images that are none of these files."""
        if not unreadable:
            return len(self)
        return sum(str(self.items.path(at)) not in unreadable for at in range(len(self)))


def evaluation_datasets(
    files: tuple[Listing, Listing],
    classes: Sequence[str],
    source: ImageSource,
    size: int,
    instance_of: InstanceOf,
) -> list[ImageDataset]:
    """Queries and gallery of some classes; sketches without strokes are refused if asked for.

    Args:
        files: Sketches and photos by class.
        classes: Label order.
        source: Reads images.
        size: Side of the square in pixels.
        instance_of: Name that a sketch shares with its photo.
    """
    if source.stroke_points:
        check_strokes(path for paths in files[0].values() for path in paths)
    return [
        ImageDataset(images, classes, source, side, size, positions)
        for images, side, positions in zip(
            files, SIDES, instances(*files, classes, instance_of), strict=True
        )
    ]


def instances(
    queries: Listing, gallery: Listing, classes: Sequence[str], instance_of: InstanceOf
) -> tuple[np.ndarray, np.ndarray]:
    """Photo that each image shows, by its position in the gallery; -1 for none: (Q,), (G,)."""
    sketch_ids: list[int] = []
    photo_ids: list[int] = []
    for name in classes:
        at: dict[str, int] = {}
        for path in gallery.get(name, ()):
            photo_ids.append(at.setdefault(instance_of(path, "photo"), len(photo_ids)))
        sketch_ids += [at.get(instance_of(p, "sketch"), -1) for p in queries.get(name, ())]
    return np.array(sketch_ids, dtype=np.int64), np.array(photo_ids, dtype=np.int64)
