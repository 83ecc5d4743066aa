"""Prepare images once, so that training reads them by memory map and decodes nothing.

It may be interrupted at any moment and goes on where it was. Processes read and fit; this one alone
writes.
"""

import errno
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from data_modules.listing.entries import visible_names
from data_modules.locks import locked
from data_modules.prepared.reader import FileReader
from data_modules.prepared.store import (
    INDEX,
    LOCK,
    SETTINGS,
    Entry,
    check_settings,
    digest_of,
    key_of,
    open_index,
    pixel_file,
    put_entries,
    read_entries,
    settings_of,
    state_of,
)
from data_modules.processes import in_processes
from data_modules.progress import Progress
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError, is_systemic

Task = tuple[str, Path, Entry | None]
"""Key, file, and the entry of an earlier content or time of it."""
Prepared = tuple[str, Entry | None, np.ndarray | None, str]
"""Key, entry without its position, pixels (size, size, channels) unless they are there, error."""


@dataclass
class PrepareSummary:
    """Counts of a run.

    Attributes:
        folder: Folder of the prepared images.
        images: Files that were asked for, each counted once.
        written: Images prepared now.
        kept: Images that were there already, from files of the same content.
        unreadable: One message for each file that could not be read, with its path.
        bytes: Bytes written now.
        seconds: Time it took.
    """

    folder: Path
    images: int = 0
    written: int = 0
    kept: int = 0
    unreadable: list[str] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        text = (
            f"{self.written} images prepared in {self.seconds:.0f} s ({self.bytes / 1e6:,.0f} MB), "
            f"{self.kept} of {self.images} were prepared already: {self.folder}"
        )
        if self.unreadable:
            text += f"\n{len(self.unreadable)} files could not be read and are left out:"
            text += "".join(f"\n  {message}" for message in self.unreadable)
        return text


def prepare(
    paths: Sequence[Path],
    root: Path,
    folder: Path,
    fit: Fit,
    workers: int = 1,
    progress: bool = True,
) -> PrepareSummary:
    """Write the fitted images of files, except those that are there already.

    Args:
        paths: Image files and drawings (``cat.ndjson#12``).
        root: Folder of the dataset; the index names files relative to it.
        folder: Folder for the prepared images; new, empty, or prepared before with these settings.
        fit: Fits an image into the square.
        workers: Processes that read and fit; with 0 or 1, this process does it.
        progress: Show how far it is, on stderr.

    Raises:
        SketchClipError: If the folder holds something else, another process is writing into it,
            or the disk is too small.
    """
    start = time.monotonic()
    _check_folder(folder)
    with locked(folder / LOCK, f"Another run is preparing images in {folder}"):
        if not (folder / SETTINGS).exists():
            (folder / SETTINGS).write_text(json.dumps(settings_of(fit)))
        check_settings(folder, fit)
        entries, todo = read_entries(folder), list[Task]()
        named = {key_of(path, root): path for path in paths}
        there = {e.file: pixel_file(folder, e.file).exists() for e in entries.values()}
        for key, path in named.items():
            entry = entries.get(key)
            entry = entry if entry is not None and there[entry.file] else None
            if entry is None or not _is_unmodified(entry, path):
                todo.append((key, path, entry))
        summary = PrepareSummary(folder, len(named), kept=len(named) - len(todo))
        if todo:
            _check_space(folder, todo, fit)
            with Progress(len(todo), "prepare", show=progress) as bar:
                chunks = in_processes(partial(_prepare_one, FileReader(fit)), todo, workers)
                _write(folder, max(there, default=-1) + 1, chunks, summary, bar)
            needed = {pixel_file(folder, entry.file) for entry in read_entries(folder).values()}
            for path in {*folder.glob("pixels-*.bin")} - needed:
                path.unlink()
    summary.unreadable.sort()
    summary.seconds = time.monotonic() - start
    return summary


def _check_folder(folder: Path) -> None:
    """Write into no folder that is something else, such as the dataset's own."""
    if folder.is_dir() and not (folder / SETTINGS).exists():
        other = [name for name in visible_names(folder) if name not in (LOCK, INDEX)]
        if other:
            raise SketchClipError(
                f"{folder} is no folder of prepared images: it holds {', '.join(other[:5])}. "
                "Name a new or empty folder."
            )


def _is_unmodified(entry: Entry, path: Path) -> bool:
    try:
        return state_of(path) == (entry.size, entry.mtime)
    except OSError:
        return False


def _check_space(folder: Path, todo: Sequence[Task], fit: Fit) -> None:
    """Estimate the size from a sample, for grey images take a third of the space."""
    sample = todo[:: max(1, len(todo) // 32)]
    found = [_prepare_one(FileReader(fit), task) for task in sample]
    channels = sum(3 if entry is None else entry.channels for _, entry, _, _ in found)
    needed = len(todo) * fit.size**2 * channels / len(sample) * 1.05 + 2**20
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SketchClipError(
            f"{len(todo)} images prepared at {fit.size} x {fit.size} need about "
            f"{needed / 1e6:,.0f} MB, and {folder} has {free / 1e6:,.0f} MB free. Free some space, "
            "or choose a folder on another disk."
        )


def _write(
    folder: Path,
    number: int,
    chunks: Iterator[list[Prepared]],
    summary: PrepareSummary,
    bar: Progress,
) -> None:
    """Append pixels and commit what names them, chunk by chunk."""
    index = open_index(folder, write=True)
    try:
        with pixel_file(folder, number).open("wb") as pixels:
            for chunk in chunks:
                done: list[tuple[str, Entry]] = []
                for key, entry, image, error in chunk:
                    if entry is None:
                        summary.unreadable.append(error)
                        continue
                    if image is not None:
                        entry = entry._replace(file=number, start=pixels.tell())
                        pixels.write(np.ascontiguousarray(image).data)
                        summary.bytes += image.nbytes
                    done.append((key, entry))
                pixels.flush()
                os.fsync(pixels.fileno())
                put_entries(index, done)
                written = sum(entry.file == number for _, entry in done)
                summary.written += written
                summary.kept += len(done) - written
                bar.reach(bar.done + len(chunk))
    except (OSError, sqlite3.OperationalError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not full and "full" not in str(error):
            raise
        raise SketchClipError(
            f"The disk of {folder} is full. Free some space and run 'sketchclip data prepare' "
            "again: what was written stays."
        ) from error
    finally:
        index.close()


def _prepare_one(reader: FileReader, task: Task) -> Prepared:
    key, path, known = task
    try:
        # The state before the content: a change in between shows as another state later.
        state, digest = state_of(path), digest_of(path)
        if known is not None and known.digest == digest:
            return key, known._replace(size=state[0], mtime=state[1]), None, ""
        image = reader(path)
    except SketchClipError as error:
        return key, None, None, str(error)
    except OSError as error:
        if is_systemic(error):
            raise
        return key, None, None, f"Cannot read image {path} ({error.strerror or error})."
    grey = all(np.array_equal(image[..., 0], image[..., channel]) for channel in (1, 2))
    channels = 1 if grey else 3
    return key, Entry(-1, channels, -1, *state, digest), image[..., :channels], ""
