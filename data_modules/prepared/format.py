"""What a folder of prepared images holds, and when an image in it still is that of its file.

::

    prepared.json             version and settings; a reader with other settings is refused
    lock                      held while a process writes
    000012-5f3a9c01.json      index: file -> its row and the state it was prepared from
    000012-5f3a9c01.rgb.npy   uint8 (N, size, size, 3)
    000012-5f3a9c01.grey.npy  uint8 (M, size, size, 1): images that are grey in all pixels

An index is written last, so arrays without one are what an interrupted run left, and are never
read. Of two entries for a file the one with the higher number holds. Nothing is pickled.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_modules.images.drawings import read_strokes, split_line
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError

VERSION = 1
"""Changes when the same file gives other pixels, or when the format changes."""

SETTINGS = "prepared.json"
ARRAYS = {1: "grey.npy", 3: "rgb.npy"}
"""Name endings by number of channels."""


class Entry(NamedTuple):
    """Where the image of a file lies, and the state of the file it was made from.

    Attributes:
        shard: Name of the arrays without their ending.
        channels: 1 or 3.
        row: Position in the array.
        size: Of the file, in bytes.
        mtime: Of the file, in nanoseconds.
        digest: BLAKE2b of the content.
    """

    shard: str
    channels: int
    row: int
    size: int
    mtime: int
    digest: str

    @property
    def array(self) -> str:
        """Name of the array's file."""
        return f"{self.shard}.{ARRAYS[self.channels]}"


def settings_of(fit: Fit) -> dict[str, Any]:
    """What decides the pixels of a prepared image, besides its file."""
    return {
        "version": VERSION,
        "size": fit.size,
        "resize": fit.resize,
        "interpolation": fit.interpolation,
    }


def check_settings(folder: Path, fit: Fit) -> None:
    """Refuse a folder that holds images of another kind.

    Raises:
        SketchClipError: If the folder holds no prepared images, or was prepared otherwise.
    """
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SketchClipError(
            f"{folder} is no folder of prepared images: expected {path} "
            f"({type(error).__name__}). Make one with 'sketchclip data prepare'."
        ) from error
    wanted = settings_of(fit)
    if found != wanted:
        raise SketchClipError(
            f"The images in {folder} were prepared with {_words(found)}; this run needs "
            f"{_words(wanted)}. Run 'sketchclip data prepare' with these settings into another "
            "folder, or delete this one."
        )


def _words(settings: Any) -> str:
    if not isinstance(settings, dict):
        return repr(settings)
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def key_of(path: Path, root: Path) -> str:
    """Name of a file in the index: relative to the data root, so that a moved dataset matches.

    >>> key_of(Path("data/photo/cat/1.jpg"), Path("data"))
    'photo/cat/1.jpg'
    """
    text, start = os.fspath(path), os.path.join(root, "")
    # The shortcut is right for every file below the root, and ten times as fast.
    below = text[len(start) :] if text.startswith(start) else os.path.relpath(path, root)
    return below.replace(os.sep, "/")


def state_of(path: Path) -> tuple[int, int]:
    """Size and time of modification (ns); those of the whole file for a drawing inside one."""
    stat = os.stat(split_line(path)[0])
    return stat.st_size, stat.st_mtime_ns


def digest_of(path: Path) -> str:
    """BLAKE2b of a file's bytes; of the strokes alone for a drawing inside a file of many."""
    digest = hashlib.blake2b(digest_size=16)
    if split_line(path)[1] is None:
        digest.update(path.read_bytes())
    else:
        for stroke in read_strokes(path):
            digest.update(f"{stroke.shape}{stroke.dtype.str}".encode())
            digest.update(stroke.tobytes())
    return digest.hexdigest()


def is_current(entry: Entry, path: Path) -> bool:
    """Whether the prepared image is that of the file as it is now.

    Equal size and time are taken for equal content. Otherwise the content decides, so a dataset
    that was copied or touched stays prepared.

    Raises:
        OSError: If the file cannot be read.
        SketchClipError: If a drawing cannot be read.
    """
    return state_of(path) == (entry.size, entry.mtime) or digest_of(path) == entry.digest


def read_indexes(folder: Path) -> Iterator[tuple[Path, dict[str, Entry]]]:
    """Indexes of a folder, oldest first.

    Raises:
        SketchClipError: If an index is damaged.
    """
    for path in sorted(folder.glob("[0-9]*.json")):
        try:
            files = json.loads(path.read_text())
            yield path, {key: Entry(*values) for key, values in files.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise SketchClipError(
                f"Index {path} of prepared images is damaged ({type(error).__name__}: {error}). "
                "Delete it and run 'sketchclip data prepare' again: only its images are redone."
            ) from error


def read_entries(folder: Path) -> dict[str, Entry]:
    """The entry that holds for each file."""
    entries: dict[str, Entry] = {}
    for _, files in read_indexes(folder):
        entries.update(files)
    return entries


class Index:
    """Entries by key, in a few arrays.

    Half a million Python objects would be copied page by page into every loader process, because
    Python counts references inside them; arrays stay shared after a fork.

    Args:
        entries: By key.
    """

    def __init__(self, entries: dict[str, Entry]) -> None:
        numbers = np.array([_number(key) for key in entries], dtype=np.uint64)
        order = np.argsort(numbers)
        self._numbers = numbers[order]
        fields = zip(*entries.values(), strict=True) if entries else [()] * len(Entry._fields)
        types = ("S", "u1", "i8", "i8", "i8", "S")
        self._fields = [
            np.array(values, dtype=np.dtype(kind))[order]
            for values, kind in zip(fields, types, strict=True)
        ]

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._numbers)

    def find(self, key: str) -> int | None:
        """Position of the entry of a key."""
        number = _number(key)
        at = int(np.searchsorted(self._numbers, number))
        return at if at < len(self) and self._numbers[at] == number else None

    def entry(self, at: int) -> Entry:
        """Entry at a position."""
        shard, channels, row, size, mtime, digest = (field[at].item() for field in self._fields)
        return Entry(shard.decode(), channels, row, size, mtime, digest.decode())


def _number(key: str) -> np.uint64:
    """Stands for a key: 64 bits of its hash, enough for any two of a million to differ."""
    digest = hashlib.blake2b(os.fsencode(key), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
