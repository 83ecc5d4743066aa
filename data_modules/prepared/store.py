"""Folder of prepared images: pixels in plain files, and an SQLite index that makes them count.

::

    prepared.json   version and settings; a reader with other settings is refused
    lock            held while a process writes
    index.sqlite    file -> where its pixels lie, and the state that they were prepared from
    pixels-3.bin    uint8 images of one run, one after the other, grey ones with one channel

Pixels reach the disk before the transaction that names them, so a run may be killed at any moment.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_modules.images.drawings import read_strokes, split_line
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError

VERSION = 2
"""Changes when the same file gives other pixels, or when the format changes."""

SETTINGS, INDEX, LOCK = "prepared.json", "index.sqlite", "lock"
_TABLE = """CREATE TABLE IF NOT EXISTS images (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,
 file INTEGER, channels INTEGER, start INTEGER, size INTEGER, mtime INTEGER, digest TEXT)"""
_FIELDS = "file, channels, start, size, mtime, digest"


class Entry(NamedTuple):
    """Position of an image's pixels, and the state of the file that they were made from.

    Attributes:
        file: Number of the file of pixels.
        channels: 1 for an image that is grey in all pixels, else 3.
        start: First byte.
        size: Bytes of the image's own file.
        mtime: Its time of modification in nanoseconds.
        digest: BLAKE2b of its content.
    """

    file: int
    channels: int
    start: int
    size: int
    mtime: int
    digest: str


def pixel_file(folder: Path, number: int) -> Path:
    """Path of a file of pixels."""
    return folder / f"pixels-{number}.bin"


def open_index(folder: Path, write: bool = False) -> sqlite3.Connection:
    """Open the index of a folder; one that is not there is empty.

    Raises:
        SketchClipError: If it is damaged.
    """
    path = folder / INDEX
    # Of no size: another process is making it this moment.
    missing = not write and not (path.is_file() and path.stat().st_size)
    name = ":memory:" if missing else f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
    try:
        index = sqlite3.connect(name, uri=True, timeout=60)
        if write or missing:
            index.execute(_TABLE)
    except sqlite3.DatabaseError as error:
        raise damaged_index(folder, error) from error
    ask(index, folder, f"SELECT id, key, {_FIELDS} FROM images LIMIT 1")
    return index


def ask(index: sqlite3.Connection, folder: Path, question: str, *values: Any) -> list[Any]:
    """Rows of the index of a folder.

    Raises:
        SketchClipError: If the index is damaged.
    """
    try:
        return index.execute(question, values).fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError) as error:
        raise damaged_index(folder, error) from error


def damaged_index(folder: Path, reason: object) -> SketchClipError:
    """The error of an index that cannot be read."""
    return SketchClipError(
        f"Index {folder / INDEX} of prepared images is damaged ({reason}). Delete it and run "
        "'sketchclip data prepare' again."
    )


def as_entry(folder: Path, values: Sequence[Any]) -> Entry:
    """An entry of the index.

    Raises:
        SketchClipError: If a value cannot be one: SQLite keeps any type in any column.
    """
    entry = Entry(*values)
    whole = all(isinstance(number, int) for number in entry[:-1])
    if (
        not (whole and isinstance(entry.digest, str) and entry.channels in (1, 3))
        or min(entry.file, entry.start, entry.size) < 0
    ):
        raise damaged_index(folder, f"an image is at {entry}")
    return entry


def read_entries(folder: Path) -> dict[str, Entry]:
    """Entries of all images by key.

    Raises:
        SketchClipError: If the index is damaged.
    """
    index = open_index(folder)
    try:
        rows = ask(index, folder, f"SELECT key, {_FIELDS} FROM images")
    finally:
        index.close()
    return {key: as_entry(folder, values) for key, *values in rows}


def put_entries(index: sqlite3.Connection, entries: Iterable[tuple[str, Entry]]) -> None:
    """Add or replace entries in one transaction."""
    names = _FIELDS.split(", ")
    updates = ", ".join(f"{name} = excluded.{name}" for name in names)
    with index:
        index.executemany(
            f"INSERT INTO images (key, {_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?) "
            f"ON CONFLICT (key) DO UPDATE SET {updates}",
            [(key, *entry) for key, entry in entries],
        )


def settings_of(fit: Fit) -> dict[str, Any]:
    """Settings that decide the pixels of a prepared image, besides its file."""
    steps = {"size": fit.size, "resize": fit.resize, "interpolation": fit.interpolation}
    return {"version": VERSION, **steps}


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
