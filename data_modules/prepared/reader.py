"""Readers: path -> fitted image, from the file itself or from a folder of prepared images."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.images.read import read_image
from data_modules.prepared.format import (
    Entry,
    Index,
    check_settings,
    is_current,
    key_of,
    read_entries,
    state_of,
)
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError

Reader = Callable[[Path], np.ndarray]
"""uint8 RGB, (size, size, 3); can be pickled."""

UNKNOWN = -1


class FileReader:
    """Reads and fits an image file; a JPEG is decoded no larger than the fit needs.

    Args:
        fit: Fits an image into the square.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit

    def __call__(self, path: Path) -> np.ndarray:
        """Read one image: uint8 RGB, (size, size, 3)."""
        return self.fit(read_image(path, side=self.fit.size))


class PreparedReader:
    """Takes images out of a folder of 'sketchclip data prepare' by memory map.

    An image that is not in there, or whose file has changed since, is read from its file. A file
    is compared with its entry when a process first reads it. Each process opens the maps for
    itself when it needs them, so a reader can be forked and pickled.

    Args:
        folder: Of prepared images.
        fit: That a file is read with; must be the one the images were prepared with.
        root: Of the dataset; the index names files relative to it.

    Attributes:
        fallbacks: Number of images that this process read from their files.

    Raises:
        SketchClipError: If the folder was prepared with other settings, or its index is damaged.
    """

    def __init__(self, folder: Path, fit: Fit, root: Path) -> None:
        check_settings(folder, fit)
        self.folder = folder
        self.root = root
        self.files = FileReader(fit)
        self.reported = False
        self._open()

    def _open(self) -> None:
        self.fallbacks = 0
        self._index = Index(read_entries(self.folder))
        self._stale = np.full(len(self._index), UNKNOWN, dtype=np.int8)
        self._maps: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to open the folder itself."""
        return {name: vars(self)[name] for name in ("folder", "root", "files", "reported")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __call__(self, path: Path) -> np.ndarray:
        """Read one image: uint8 RGB, (size, size, 3), the caller's own."""
        at = self._index.find(key_of(path, self.root))
        if at is not None and not self._is_stale(at, path):
            entry = self._index.entry(at)
            rows = self._map(entry)
            if rows is not None:
                if entry.channels == 3:
                    return np.array(rows[entry.row])
                import cv2  # many times faster here than NumPy's broadcasting

                return cv2.cvtColor(rows[entry.row], cv2.COLOR_GRAY2RGB)
        self.fallbacks += 1
        if not self.reported:
            self.reported = True
            warnings.warn(
                f"{path} is not in {self.folder}, or has changed since it was prepared, and is "
                "read from its file; so are others like it. Run 'sketchclip data prepare' again "
                "to add what is missing.",
                stacklevel=2,
            )
        return self.files(path)

    def report(self, paths: Iterable[Path]) -> int:
        """Warn once of the images that will be read from their files.

        A file with a new time but its old size is not among them: its content decides when it is
        read.

        Args:
            paths: Files that will be read.

        Returns:
            Number of files that are missing in the folder or have another size now.
        """
        names = list(paths)
        missing = sum(not self._looks_prepared(path) for path in names)
        if missing:
            warnings.warn(
                f"{missing} of {len(names)} images are not in {self.folder}, or have changed since "
                "they were prepared, and are read from their files. Run 'sketchclip data prepare' "
                "again to add them.",
                stacklevel=2,
            )
        self.reported = True
        return missing

    def _looks_prepared(self, path: Path) -> bool:
        at = self._index.find(key_of(path, self.root))
        try:
            return at is not None and state_of(path)[0] == self._index.entry(at).size
        except OSError:
            return False

    def _is_stale(self, at: int, path: Path) -> bool:
        if self._stale[at] == UNKNOWN:
            try:
                self._stale[at] = not is_current(self._index.entry(at), path)
            except (OSError, SketchClipError):
                self._stale[at] = True  # reading the file will say what is wrong with it
        return bool(self._stale[at])

    def _map(self, entry: Entry) -> np.ndarray | None:
        """The array of an entry; None if a later 'data prepare' has removed it meanwhile."""
        rows = self._maps.get(entry.array)
        if rows is None:
            path = self.folder / entry.array
            try:
                rows = np.load(path, mmap_mode="r", allow_pickle=False)
            except FileNotFoundError:
                return None
            except (OSError, ValueError) as error:
                raise SketchClipError(
                    f"Prepared images {path} are damaged ({type(error).__name__}: {error}). Delete "
                    f"{entry.shard}.* in that folder and run 'sketchclip data prepare' again."
                ) from error
            size = self.files.fit.size
            if rows.dtype != np.uint8 or rows.shape[1:] != (size, size, entry.channels):
                raise SketchClipError(
                    f"Prepared images {path} are damaged: expected uint8 (N, {size}, {size}, "
                    f"{entry.channels}), found {rows.dtype} {rows.shape}. Delete {entry.shard}.* "
                    "in that folder and run 'sketchclip data prepare' again."
                )
            # A plain array over the map: np.memmap's own indexing costs more than the copy.
            rows = self._maps[entry.array] = np.asarray(rows)
        return rows


def open_reader(fit: Fit, prepared: str | None, root: Path) -> FileReader | PreparedReader:
    """The reader of a data module.

    Args:
        fit: Fits an image into the square.
        prepared: Folder of prepared images; None to read files.
        root: Of the dataset.

    Raises:
        SketchClipError: If the folder is none, or was prepared with other settings.
    """
    if prepared is None:
        return FileReader(fit)
    return PreparedReader(Path(prepared).expanduser(), fit, root)
