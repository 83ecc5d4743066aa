"""Write shards of prepared images: arrays first, then the index that makes them count."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.prepared.format import ARRAYS, Entry, digest_of, state_of
from data_modules.prepared.reader import FileReader
from sketchclip.errors import SketchClipError

TEMPORARY = ".tmp"
"""Ending of a file that is not finished."""

HEADER = 128
"""Bytes before the rows of an array."""

Item = tuple[str, Path, Entry | None]
"""Key, file, and what the folder holds of an earlier content or time of it."""
Shard = tuple[str, list[Item]]


@dataclass
class Summary:
    """What a run did.

    Attributes:
        folder: Of the prepared images.
        images: Files that were asked for, each counted once.
        written: Images prepared now.
        kept: Images that were there already, from files of the same content.
        unreadable: One message for each file that could not be read, with its path.
        bytes: Written now.
        seconds: Time it took.
    """

    folder: Path
    images: int = 0
    written: int = 0
    kept: int = 0
    unreadable: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0

    def add(self, part: "Summary") -> None:
        """Count what was done for a part of the files."""
        self.written += part.written
        self.kept += part.kept
        self.unreadable += part.unreadable
        self.bytes += part.bytes

    def __str__(self) -> str:
        text = (
            f"{self.written} images prepared in {self.seconds:.0f} s ({self.bytes / 1e6:,.0f} MB), "
            f"{self.kept} of {self.images} were prepared already: {self.folder}"
        )
        if self.unreadable:
            text += f"\n{len(self.unreadable)} files could not be read and are left out:"
            text += "".join(f"\n  {message}" for message in self.unreadable)
        return text


def channels_of(image: np.ndarray) -> int:
    """1 for an image that is grey in all pixels, else 3."""
    red = image[..., 0]
    grey = np.array_equal(red, image[..., 1]) and np.array_equal(red, image[..., 2])
    return 1 if grey else 3


class _Rows:
    """Appends images to a ``.npy`` file whose length is known at its end only."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape, self.count = path, shape, 0
        self.temporary = path.with_name(path.name + TEMPORARY)
        self.file = self.temporary.open("wb")
        self.file.seek(HEADER)

    def append(self, image: np.ndarray) -> int:
        """Write an image and return its row."""
        self.file.write(np.ascontiguousarray(image[..., : self.shape[-1]]).data)
        self.count += 1
        return self.count - 1

    def finish(self) -> int:
        """Put the file in place; returns its size in bytes."""
        shape = (self.count, *self.shape)
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        self.file.seek(0)
        self.file.write(b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little"))
        self.file.write(text.ljust(HEADER - 11).encode() + b"\n")
        _put(self.file, self.temporary, self.path)
        return HEADER + self.count * int(np.prod(self.shape))

    def discard(self) -> None:
        """Leave nothing behind, unless it has been put in place."""
        self.file.close()
        self.temporary.unlink(missing_ok=True)


def _put(file: Any, temporary: Path, path: Path) -> None:
    """Give a finished file its name, after its content has reached the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    os.replace(temporary, path)


def write_json(path: Path, content: Any) -> None:
    """Write a file that is there as a whole or not at all."""
    temporary = path.with_name(path.name + TEMPORARY)
    with temporary.open("w") as file:
        json.dump(content, file)
        _put(file, temporary, path)


def write_shard(
    shard: Shard, folder: Path, reader: FileReader, tick: Callable[[], None]
) -> Summary:
    """Prepare some files: their arrays first, then the index that makes them count."""
    name, items = shard
    size, part = reader.fit.size, Summary(folder)
    arrays: dict[int, _Rows] = {}
    files: dict[str, Entry] = {}
    try:
        for key, path, known in items:
            tick()
            try:
                # The state before the content: a change in between shows as another state later.
                state, digest = state_of(path), digest_of(path)
                if known is not None and known.digest == digest:
                    files[key] = known._replace(size=state[0], mtime=state[1])
                    part.kept += 1
                    continue
                image = reader(path)
            except SketchClipError as error:
                part.unreadable.append(str(error))
                continue
            except OSError as error:
                part.unreadable.append(f"Cannot read image {path} ({error.strerror or error}).")
                continue
            channels = channels_of(image)
            if channels not in arrays:
                array = folder / f"{name}.{ARRAYS[channels]}"
                arrays[channels] = _Rows(array, (size, size, channels))
            files[key] = Entry(name, channels, arrays[channels].append(image), *state, digest)
            part.written += 1
        part.bytes = sum(rows.finish() for rows in arrays.values())
        if files:
            write_json(folder / f"{name}.json", files)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SketchClipError(
            f"The disk of {folder} is full. Free some space and run 'sketchclip data prepare' "
            "again: what was written stays."
        ) from error
    finally:
        for rows in arrays.values():
            rows.discard()
    return part
