"""Sketches and photos that are names alone, read as pixels that tell which file they are."""

from pathlib import Path

import numpy as np
import torch

from data_modules.images.decode import UnreadableImageError

CLASSES = ["ant", "bee", "cat"]


class Codes:
    """A reader whose pixels name the file; some files cannot be read."""

    def __init__(self, files: dict, broken: tuple[str, ...] = ()) -> None:
        self.codes = {str(p): n for n, p in enumerate(p for v in files.values() for p in v)}
        self.names = list(self.codes)
        self.broken = broken

    def __call__(self, path: Path) -> np.ndarray:
        if str(path) in self.broken:
            raise UnreadableImageError(f"Cannot read image {path}.", path)
        return np.full((2, 2, 3), self.codes[str(path)], np.uint8)

    def name(self, image: torch.Tensor) -> str:
        assert image.dtype == torch.uint8
        return self.names[int(image.flatten()[0])]


def listing(side: str, count: int, suffix: str = "") -> dict[str, list[Path]]:
    return {c: [Path(f"{side}/{c}/{i}{suffix}") for i in range(count)] for c in CLASSES}


SKETCHES = {c: [Path(f"s/{c}/{i}-{k}") for i in range(3) for k in (1, 2)] for c in CLASSES}
PHOTOS = listing("p", 3)


def photo_name(path: Path, side: str) -> str:
    return path.stem if side == "photo" else path.stem.partition("-")[0]
