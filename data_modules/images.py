"""Read and fit images; the only file that uses albumentations.

2.0.8 is albumentations' last release under the MIT licence, hence its pin; everything it does
for us is in :func:`fit_transform`.
"""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sketchclip.errors import SketchClipError

Resize = Literal["letterbox", "letterbox_black", "squash", "crop"]
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB, transparency over white.

    A transparent background read as black would make a sketch black on black.

    Args:
        path: The file.

    Returns:
        uint8 array, shape (H, W, 3).

    Raises:
        SketchClipError: If the file is missing or is no readable image.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                rgba = image.convert("RGBA")
                white = Image.new("RGBA", rgba.size, "white")
                return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise SketchClipError(
            f"Cannot read image {path} ({type(error).__name__}: {error}). Expected a readable "
            f"{'/'.join(sorted(e[1:] for e in EXTENSIONS))} file; repair or remove it."
        ) from error


class FitTransform:
    """Fits an image into a square and normalises it.

    Args:
        size: Side of the square in pixels.
        resize: ``letterbox`` keeps the aspect ratio and pads with white (sketches are ink on
            white), ``letterbox_black`` pads with black as the paper's released code does,
            ``squash`` ignores the aspect ratio, ``crop`` is CLIP's own resize and centre crop.
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.
    """

    def __init__(
        self, size: int, resize: Resize, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        # Imported here: the command line must answer --help without it. The variable keeps
        # albumentations from asking the network for newer versions.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A
        import cv2

        cv2.setNumThreads(0)  # threads of OpenCV fight with those of the loader's workers
        scale = {"interpolation": cv2.INTER_CUBIC, "area_for_downscale": "image"}
        if resize == "squash":
            # One side may shrink while the other grows; area averaging suits both well enough.
            steps = [A.Resize(size, size, interpolation=cv2.INTER_AREA)]
        elif resize == "crop":
            steps = [A.SmallestMaxSize(size, **scale), A.CenterCrop(size, size)]
        else:
            fill = 0 if resize == "letterbox_black" else 255
            pad = A.PadIfNeeded(size, size, border_mode=cv2.BORDER_CONSTANT, fill=fill)
            steps = [A.LongestMaxSize(size, **scale), pad]
        self.pipeline = A.Compose([*steps, A.Normalize(mean=mean, std=std)])

    def __call__(self, image: np.ndarray) -> Tensor:
        """Transform one image.

        Args:
            image: uint8 RGB, shape (H, W, 3).

        Returns:
            fp32, shape (3, size, size).
        """
        fitted = self.pipeline(image=image)["image"]
        return torch.from_numpy(np.ascontiguousarray(fitted.transpose(2, 0, 1), dtype=np.float32))
