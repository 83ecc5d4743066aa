"""Readers: path -> fitted image, from the file itself or from a folder of prepared images."""

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.images.read import read_image
from data_modules.prepared.store import (
    Entry,
    as_entry,
    ask,
    check_settings,
    damaged_index,
    digest_of,
    key_of,
    open_index,
    pixel_file,
    state_of,
)
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError

Reader = Callable[[Path], np.ndarray]
"""uint8 RGB, (size, size, 3); can be pickled."""

_FIND = "SELECT id, file, channels, start, size, mtime, digest FROM images WHERE key = ?"
_UNKNOWN = -1
_MOST = 1 << 30  # images: a larger number comes of damage


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
    is compared with its entry when a process first reads it. Each process opens index and maps for
    itself when it needs them, so a reader can be forked and pickled.

    Args:
        folder: Folder of prepared images.
        fit: Fits an image read from its file; must be the one the images were prepared with.
        root: Folder of the dataset; the index names files relative to it.

    Attributes:
        fallbacks: Number of images that this process read from their files.

    Raises:
        SketchClipError: If the folder was prepared with other settings, or its index is damaged.
    """

    def __init__(self, folder: Path, fit: Fit, root: Path) -> None:
        check_settings(folder, fit)
        open_index(folder).close()
        self.folder = folder
        self.root = root
        self.files = FileReader(fit)
        self.reported = False
        self._forget()

    def _forget(self) -> None:
        self.fallbacks = 0
        self._process = -1
        self._maps: dict[int, np.ndarray] = {}
        self._stale = np.zeros(0, np.int8)

    def __getstate__(self) -> dict[str, Any]:
        """State with which another process opens the folder itself."""
        return {name: vars(self)[name] for name in ("folder", "root", "files", "reported")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _find(self, path: Path) -> tuple[int, Entry] | None:
        """Number and entry of an image; SQLite's connections do not survive a fork."""
        if self._process != os.getpid():
            self._index = open_index(self.folder)
            ((last,),) = ask(self._index, self.folder, "SELECT coalesce(max(id), 0) FROM images")
            if not (isinstance(last, int) and 0 <= last < _MOST):
                raise damaged_index(self.folder, f"an image has the number {last!r:.40}")
            self._stale = np.full(last + 1, _UNKNOWN, np.int8)
            self._process = os.getpid()
        rows = ask(self._index, self.folder, _FIND, key_of(path, self.root))
        return (rows[0][0], as_entry(self.folder, rows[0][1:])) if rows else None

    def __call__(self, path: Path) -> np.ndarray:
        """Read one image: uint8 RGB, (size, size, 3), the caller's own."""
        found = self._find(path)
        if found is not None and not self._is_stale(*found, path):
            pixels = self._pixels(found[1])
            if pixels is not None:
                if pixels.shape[2] == 3:
                    return np.array(pixels)
                import cv2  # many times faster here than NumPy's broadcasting

                return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
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
        found = self._find(path)
        try:
            return found is not None and state_of(path)[0] == found[1].size
        except OSError:
            return False

    def _is_stale(self, number: int, entry: Entry, path: Path) -> bool:
        """Whether the image is no longer that of the file.

        Equal size and time are taken for equal content. Otherwise the content decides, so a dataset
        that was copied or touched stays prepared.
        """
        if number >= len(self._stale):  # prepared since this process opened the index
            return False
        if self._stale[number] == _UNKNOWN:
            try:
                same = state_of(path) == (entry.size, entry.mtime)
                self._stale[number] = not (same or digest_of(path) == entry.digest)
            except (OSError, SketchClipError):
                self._stale[number] = True  # reading the file will say what is wrong with it
        return bool(self._stale[number])

    def _pixels(self, entry: Entry) -> np.ndarray | None:
        """Pixels of an entry; None if a later 'data prepare' has removed them meanwhile."""
        size = self.files.fit.size
        stop = entry.start + size * size * entry.channels
        pixels = self._maps.get(entry.file)
        if pixels is None or stop > len(pixels):
            path = pixel_file(self.folder, entry.file)
            try:
                # A plain array over the map: np.memmap's own indexing costs more than the copy.
                pixels = np.asarray(np.memmap(path, np.uint8, "r"))
            except FileNotFoundError:
                return None
            except (OSError, ValueError) as error:
                raise self._damage(path, f"{type(error).__name__}: {error}") from error
            if stop > len(pixels):
                raise self._damage(path, f"expected {stop} bytes, found {len(pixels)}")
            self._maps[entry.file] = pixels
        return pixels[entry.start : stop].reshape(size, size, entry.channels)

    def _damage(self, path: Path, reason: str) -> SketchClipError:
        return SketchClipError(
            f"Prepared images {path} are damaged ({reason}). Delete the file and run 'sketchclip "
            "data prepare' again: only its images are redone."
        )


def open_reader(fit: Fit, prepared: str | None, root: Path) -> FileReader | PreparedReader:
    """Open the reader of a data module: of files, or of a folder of prepared images.

    Raises:
        SketchClipError: If the folder is none, or was prepared with other settings.
    """
    if prepared is None:
        return FileReader(fit)
    return PreparedReader(Path(prepared).expanduser(), fit, root)
