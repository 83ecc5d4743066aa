"""From a path to the tensor of a batch: reading, augmenting, and what to do with broken files."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_modules.images.decode import UnreadableImageError
from data_modules.images.drawings import DRAWINGS, read_strokes, stroke_sequence, strokes_file
from data_modules.transforms import Augment, Side
from sketchclip.errors import SketchClipError

Reader = Callable[[Path], np.ndarray]


class ImageSource:
    """Reads, augments and converts images for the datasets.

    Args:
        reader: Path to uint8 RGB, (size, size, 3).
        seed: Seed of augmentation and of the samples of a dataset.
        augment: Random changes in training; None for none.
        skip: Whether an unreadable file is noted and passed over; else it stops the run.
        stroke_points: Points of a stroke sequence; 0 for none.
    """

    gives_features = False
    """Whether items are features of a frozen encoder in place of images."""

    def __init__(
        self,
        reader: Reader,
        seed: int = 0,
        augment: Augment | None = None,
        skip: bool = False,
        stroke_points: int = 0,
    ) -> None:
        self.reader = reader
        self.seed = seed
        self.augment = augment
        self.skip = skip
        self.stroke_points = stroke_points

    def read(self, path: Path, skipped: list[str]) -> np.ndarray | None:
        """Read an image as uint8 RGB, (size, size, 3); None for a file that is passed over.

        Raises:
            UnreadableImageError: If the file cannot be read and ``skip`` is off.
        """
        try:
            image = self.reader(path)
            drawing = strokes_file(path) if self.skip and self.stroke_points else None
            if drawing not in (None, path):  # a bitmap is no use without the file of its strokes
                read_strokes(drawing)
            return image
        except UnreadableImageError:
            if not self.skip:
                raise
            skipped.append(str(path))
            return None

    def tensor(
        self,
        image: np.ndarray,
        side: Side,
        key: tuple[int, int],
        role: int,
        geometry: int | None = None,
    ) -> Tensor:
        """Augment and convert: uint8 (size, size, 3) to (3, size, size).

        ``key`` is (epoch, index) of the sample; each ``role`` of an image in it has a random stream
        of its own, and ``geometry`` names the role whose flip and affine map this image shares.
        """
        if self.augment is not None:
            shared = role if geometry is None else geometry
            image = self.augment(
                image, side, self._stream(key, shared)[0], self._stream(key, role)[1]
            )
        return to_tensor(image)

    def _stream(self, key: tuple[int, int], role: int) -> tuple[int, int]:
        """Seeds of geometry and appearance; they know nothing of workers and ranks."""
        geometry, appearance = np.random.SeedSequence((self.seed, *key, role)).generate_state(2)
        return int(geometry), int(appearance)

    def strokes(self, path: Path) -> Tensor:
        """Stroke sequence of a sketch as it is in the file, not augmented, (N, 3).

        Raises:
            SketchClipError: If it has no strokes.
        """
        strokes = read_strokes(drawing_of(path))
        return torch.from_numpy(stroke_sequence(strokes, self.stroke_points))

    def no_strokes(self) -> Tensor:
        """Padding alone, for photos, (N, 3)."""
        return torch.tensor([0.0, 0.0, -1.0]).repeat(self.stroke_points, 1)


def drawing_of(path: Path) -> Path:
    """The file that holds the strokes of a sketch.

    Raises:
        SketchClipError: If there is none.
    """
    found = strokes_file(path)
    if found is None:
        raise SketchClipError(
            f"The method needs sketches as strokes ({' or '.join(sorted(DRAWINGS))}), found {path} "
            "and no .svg file of that name beside it. Point --data.sketch_files to the drawings, "
            "or put the SVG files beside the bitmaps; some methods do without strokes "
            "(--model.sketch_target raster)."
        )
    return found


def check_strokes(sketches: Iterable[Path]) -> None:
    """Refuse sketches without strokes before any is read; see :func:`drawing_of`."""
    for path in sketches:
        drawing_of(path)


def to_tensor(image: np.ndarray) -> Tensor:
    """Channels first: uint8 (H, W, 3) to (3, H, W), a view that stays as it was read."""
    return torch.from_numpy(image).permute(2, 0, 1)
