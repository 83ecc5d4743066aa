"""Fit images into the model's square, augment and normalize them.

The only file that uses albumentations; 2.0.8 is its last release under the MIT licence, hence the
pin. It draws all augmentations. Fitting is plain resizing, which OpenCV and PyTorch do 1.3 to 4
times as fast as an albumentations pipeline (measured on images of 112 to 1111 pixels).
"""

import os
import random
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Resize = Literal["letterbox", "letterbox_black", "squash", "crop"]
Interpolation = Literal["bicubic", "bilinear"]
Augmented = Literal["none", "sketches", "photos", "both"]
Side = Literal["sketch", "photo"]

_MILD = 1.2  # so little shrinking needs no antialiasing
_INK_KEPT = 0.5  # of a sketch whose lines are thinned
_LONGEST = 8  # times the shorter side: what is left of a strip before it is cropped


class Fit:
    """Fits an image into a square.

    Args:
        size: Side of the square in pixels.
        resize: ``letterbox`` keeps the aspect ratio and pads with white (sketches are ink on
            white), ``letterbox_black`` pads with black as the paper's released code does,
            ``squash`` ignores the aspect ratio, ``crop`` is CLIP's own resize and center crop.
        interpolation: The CLIP model's own.
    """

    def __init__(
        self, size: int, resize: Resize = "letterbox", interpolation: Interpolation = "bicubic"
    ) -> None:
        self.size = size
        self.resize: Resize = resize
        self.interpolation: Interpolation = interpolation

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Fit uint8 RGB (H, W, 3) into uint8 RGB (size, size, 3)."""
        size = self.size
        if self.resize == "squash":
            return self._scale(image, size, size)
        if self.resize == "crop":
            # The ends of a long strip are cropped anyway; enlarged first, they fill the memory.
            image = _center(image, _LONGEST * min(image.shape[:2]))
            scale = size / min(image.shape[:2])
        else:
            scale = size / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        image = self._scale(image, width, height)
        if self.resize == "crop":
            return np.ascontiguousarray(_center(image, size))
        if width == height == size:
            return image
        fill = 0 if self.resize == "letterbox_black" else 255
        square = np.full((size, size, 3), fill, np.uint8)
        top, left = (size - height) // 2, (size - width) // 2
        square[top : top + height, left : left + width] = image
        return square

    def _scale(self, image: np.ndarray, width: int, height: int) -> np.ndarray:
        """Resize without the aliasing that breaks thin lines, by the fastest of four means.

        Measured against Pillow's antialiased bicubic, CLIP's own: PyTorch's is the same within 1
        of 255; linear resizing that shrinks by 1.14, as 256 to 224 does, is as near to it as area
        averaging is (39 dB on sketches, 41 dB on photos) and takes a quarter of the time.
        """
        cv2 = _opencv()
        down, across = image.shape[0] / height, image.shape[1] / width
        if down == across == 1:
            return image
        if max(down, across) > _MILD and not (down.is_integer() and across.is_integer()):
            planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
            scaled = torch.nn.functional.interpolate(
                planes[None], (height, width), mode=self.interpolation, antialias=True
            )
            return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy())
        if max(down, across) > _MILD:
            method = cv2.INTER_AREA  # the mean of whole pixels
        elif max(down, across) > 1 or self.interpolation == "bilinear":
            method = cv2.INTER_LINEAR
        else:
            method = cv2.INTER_CUBIC
        return cv2.resize(image, (width, height), interpolation=method)


class Augment:
    """Random variants of fitted images that depend on two seeds alone.

    albumentations 2.0.8 draws from a generator of its own, which repeats itself in every worker
    and every epoch. Here each call states its seeds, so workers, epochs and resumed runs agree.

    Both sides may be flipped, turned, scaled and moved; photos also change a little in brightness,
    contrast and saturation, sketches in the width of their lines. What comes into view is white.

    Args:
        size: Side of the images in pixels; lines change in width by about a hundredth of it.
        which: Side to change: none, sketches, photos or both.
        flip: Whether half of the images are mirrored. Instance pairs need ``which="both"`` for it,
            as a mirrored photo no longer shows what its sketch does.
    """

    def __init__(self, size: int, which: Augmented = "none", flip: bool = True) -> None:
        self.size = size
        self.which: Augmented = which
        self.flip = flip
        self.sides = {
            "none": (),
            "sketches": ("sketch",),
            "photos": ("photo",),
            "both": ("sketch", "photo"),
        }[which]
        if self.sides:  # importing albumentations takes seconds
            self._build()

    def _build(self) -> None:
        # The variable keeps albumentations from asking the network for newer versions.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A

        move = A.Affine(
            scale=(0.85, 1.1),
            translate_percent=(-0.05, 0.05),
            rotate=(-10, 10),
            keep_ratio=True,
            fill=255,
            p=1.0,
        )
        self.geometry = A.Compose([A.HorizontalFlip(p=0.5 if self.flip else 0.0), move])
        widest = max(2, round(self.size / 75))
        # Of intensities: erosion spreads the dark lines, dilation the white page.
        width = [
            A.Morphological(scale=(2, widest), operation=operation, p=1.0)
            for operation in ("erosion", "dilation")
        ]
        color = A.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.0, p=0.8)
        self.appearance = {
            "sketch": A.Compose([A.OneOf(width, p=0.5)]),
            "photo": A.Compose([color]),
        }

    def __call__(self, image: np.ndarray, side: Side, geometry: int, appearance: int) -> np.ndarray:
        """Augment one image.

        Args:
            image: uint8 RGB, shape (H, W, 3).
            side: Whether the image is a sketch or a photo.
            geometry: Seed of flip and motion; the same for a sketch and its photo moves both alike.
            appearance: Seed of colors or line width.

        Returns:
            uint8 RGB of the same shape; the image itself if its side is not augmented.
        """
        if side not in self.sides:
            return image
        cv2 = _opencv()
        changed = _run(self.appearance[side], image, appearance)
        if side == "photo":
            # Darkened or tinted, the white border of a letterbox would no longer be one.
            changed = cv2.copyTo(image, cv2.inRange(image, (255,) * 3, (255,) * 3), changed.copy())
        elif _ink(changed) < _INK_KEPT * _ink(image):
            changed = image  # lines as thin as the brush would vanish
        return _run(self.geometry, changed, geometry)


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Bring pixels to the range that the model was trained on.

    Args:
        images: uint8, shape (B, 3, H, W).
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.

    Returns:
        fp32 of the same shape, on the same device, channels last in memory.
    """
    line = images.shape[3]
    shift, scale = (_row(tuple(values), line, images.device) for values in (mean, std))
    # Images come as they were read, channels last, and stay so. A row of pixels at a time: PyTorch
    # is many times slower where the innermost of the broadcast dimensions is the three channels.
    rows = images.permute(0, 2, 3, 1).flatten(2)
    if images.device.type == "cpu":
        # With NumPy, an image at a time, which stays in the cache from step to step: PyTorch's
        # threads would wait for cores that the loader's workers use.
        array = np.empty(rows.shape, np.float32)
        for image, target in zip(rows.numpy(), array, strict=True):
            np.subtract(image, shift.numpy(), out=target)
            np.divide(target, scale.numpy(), out=target)
        result = torch.from_numpy(array)
    else:
        result = rows.sub(shift).div_(scale)
    return result.unflatten(2, (line, -1)).permute(0, 3, 1, 2)


@lru_cache(maxsize=8)
def _row(channels: tuple[float, ...], length: int, device: torch.device) -> Tensor:
    """Values of the channels for a row of pixels; kept, as moving them makes a GPU's step wait."""
    values = torch.tensor(channels, dtype=torch.float32).repeat(length) * 255
    return values.to(device, non_blocking=True)


def _opencv() -> Any:
    import cv2  # not for --help

    cv2.setNumThreads(0)  # threads of OpenCV fight with those of the loader's workers
    return cv2


def _run(pipeline: Any, image: np.ndarray, seed: int) -> np.ndarray:
    # One generator for all steps: set_random_seed makes one for each and takes twice the time.
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return pipeline(image=image)["image"]


def _ink(image: np.ndarray) -> float:
    """Mean darkness."""
    return 255 - float(np.mean(_opencv().mean(image)[:3]))


def _center(image: np.ndarray, longest: int) -> np.ndarray:
    height, width = image.shape[:2]
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return image[top : top + longest, left : left + longest]
