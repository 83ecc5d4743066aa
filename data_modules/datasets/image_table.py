"""Paths and classes of many images in a few arrays."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np


class ImageTable(Sequence[tuple[Path, int]]):
    """(path, label) of each image, class by class, held in three arrays.

    A list of half a million paths is copied page by page into every loader process that reads it,
    because Python counts references inside the objects. Arrays stay shared.

    Args:
        images: Class name to files.
        classes: Label order; a class without files is left empty.

    Attributes:
        first: Position of the first image of each class, and the length, (C + 1,).

    Example:
        >>> table = ImageTable({"a": [Path("x"), Path("y")], "b": [Path("z")]}, ["b", "a"])
        >>> len(table), table.path(0).name, table.label(2), table.span(1)
        (3, 'z', 1, (1, 3))
    """

    def __init__(self, images: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> None:
        files = [images.get(name, ()) for name in classes]
        names = [os.fsencode(path) for paths in files for path in paths]
        self._text = np.frombuffer(b"".join(names), np.uint8)
        self._ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
        self.first = np.cumsum([0, *map(len, files)], dtype=np.int64)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, at: int) -> tuple[Path, int]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[Path, int]]: ...
    def __getitem__(self, at: int | slice) -> tuple[Path, int] | list[tuple[Path, int]]:
        """Path and label at a position."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        return self.path(at), self.label(at)

    def path(self, at: int) -> Path:
        """File at a position."""
        return Path(os.fsdecode(self._text[self._ends[at] : self._ends[at + 1]].tobytes()))

    def label(self, at: int) -> int:
        """Class at a position."""
        return int(np.searchsorted(self.first, at, "right")) - 1

    def span(self, label: int) -> tuple[int, int]:
        """First position of a class and the one after its last."""
        return int(self.first[label]), int(self.first[label + 1])

    @property
    def counts(self) -> np.ndarray:
        """Number of images of each class, (C,)."""
        return np.diff(self.first)
