"""Prepare images once, so that training reads them by memory map and decodes nothing.

It may be interrupted at any moment and goes on where it was: a shard of images counts once its
index is in place, and that is the last thing to be written.
"""

import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from data_modules.locks import locked
from data_modules.prepared.format import (
    SETTINGS,
    Entry,
    check_settings,
    key_of,
    read_entries,
    read_indexes,
    settings_of,
    state_of,
)
from data_modules.prepared.reader import FileReader
from data_modules.prepared.writer import (
    TEMPORARY,
    Item,
    Shard,
    Summary,
    channels_of,
    write_json,
    write_shard,
)
from data_modules.progress import Progress
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError


def prepare(
    paths: Sequence[Path],
    root: Path,
    folder: Path,
    fit: Fit,
    workers: int = 1,
    progress: bool = True,
) -> Summary:
    """Write the fitted images of files, except those that are there already.

    Args:
        paths: Image files and drawings (``cat.ndjson#12``).
        root: Of the dataset; the index names files relative to it.
        folder: For the prepared images; new, empty, or prepared before with the same settings.
        fit: Fits an image into the square.
        workers: Processes that read and fit; with 1, this process does it.
        progress: Show how far it is, on stderr.

    Raises:
        SketchClipError: If the folder holds something else, another process is writing into it,
            or the disk is too small.
    """
    start = time.monotonic()
    _check_folder(folder)
    with locked(folder / "lock", f"Another run is preparing images in {folder}"):
        if not (folder / SETTINGS).exists():
            write_json(folder / SETTINGS, settings_of(fit))
        check_settings(folder, fit)
        _sweep(folder)
        entries, todo = read_entries(folder), []
        arrays = {path.name for path in folder.glob("*.npy")}
        named = {key_of(path, root): path for path in paths}
        for key, path in named.items():
            entry = entries.get(key)
            if entry is not None and entry.array not in arrays:
                entry = None
            if entry is None or not _unmodified(entry, path):
                todo.append((key, path, entry))
        summary = Summary(folder, len(named), kept=len(named) - len(todo))
        if todo:
            _check_space(folder, todo, fit)
            numbers = [int(path.name[:6]) for path, _ in read_indexes(folder)]
            shards = list(_shards(todo, first=max(numbers, default=-1) + 1))
            with Progress(len(todo), "prepare", show=progress) as bar:
                run = _here if workers <= 1 else _in_processes
                for part in run(shards, folder, fit, workers, bar):
                    summary.add(part)
            _sweep(folder)
    summary.unreadable.sort()
    summary.seconds = time.monotonic() - start
    return summary


def _check_folder(folder: Path) -> None:
    """Write into no folder that is something else, such as the dataset's own."""
    if folder.is_dir() and not (folder / SETTINGS).exists():
        ours = ("lock", SETTINGS + TEMPORARY)
        other = sorted(path.name for path in folder.iterdir() if path.name not in ours)
        if other:
            raise SketchClipError(
                f"{folder} is no folder of prepared images: it holds {', '.join(other[:5])}. "
                "Name a new or empty folder."
            )


def _sweep(folder: Path) -> None:
    """Delete what interrupted runs left and what newer entries have replaced."""
    source: dict[str, Path] = {}
    entries: dict[str, Entry] = {}
    indexes = []
    for index, files in read_indexes(folder):
        indexes.append(index)
        source.update(dict.fromkeys(files, index))
        entries.update(files)
    for index in set(indexes) - set(source.values()):
        index.unlink()
    used = {entry.array for entry in entries.values()}
    for path in [*folder.glob("*.npy"), *folder.glob(f"*{TEMPORARY}")]:
        if path.name not in used:
            path.unlink()


def _unmodified(entry: Entry, path: Path) -> bool:
    try:
        return state_of(path) == (entry.size, entry.mtime)
    except OSError:
        return False


def _check_space(folder: Path, todo: Sequence[Item], fit: Fit) -> None:
    """Estimate the size from a sample, for grey images take a third of the space."""
    sample = todo[:: max(1, len(todo) // 32)]
    reader, channels = FileReader(fit), 0
    for _, path, _ in sample:
        try:
            channels += channels_of(reader(path))
        except (SketchClipError, OSError):
            channels += 3
    needed = len(todo) * fit.size**2 * channels / len(sample) * 1.05 + 2**20
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SketchClipError(
            f"{len(todo)} images prepared at {fit.size} x {fit.size} need about "
            f"{_megabytes(needed)}, and {folder} has {_megabytes(free)} free. Free some space, "
            "or choose a folder on another disk."
        )


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def _shards(todo: Sequence[Item], first: int) -> Iterator[Shard]:
    # Large enough that a dataset has some hundred files to map, small enough to share the work.
    length = min(4096, max(64, len(todo) // 128))
    token = os.urandom(4).hex()  # two runs on a file system without locks write different files
    for number, start in enumerate(range(0, len(todo), length)):
        yield f"{first + number:06d}-{token}", list(todo[start : start + length])


def _here(
    shards: Sequence[Shard], folder: Path, fit: Fit, workers: int, bar: Progress
) -> Iterator[Summary]:
    """Prepare shards in this process."""
    reader = FileReader(fit)
    for shard in shards:
        yield write_shard(shard, folder, reader, bar.step)


class _StoppedError(Exception):
    """The run ends; what is unfinished is dropped."""


class _Process:
    """State of a worker process."""

    folder: Path
    reader: FileReader
    counter: Any
    stop: Any


def _start_process(folder: Path, fit: Fit, counter: Any, stop: Any) -> None:
    _Process.folder, _Process.reader = folder, FileReader(fit)
    _Process.counter, _Process.stop = counter, stop
    torch.set_num_threads(1)  # the processes share the cores, and threads do not survive a fork
    parent = multiprocessing.parent_process()
    if parent is not None:
        # Killed outright, the parent cannot stop its workers; they would wait for work forever.
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _tick() -> None:
    if _Process.stop.is_set():
        raise _StoppedError
    with _Process.counter.get_lock():
        _Process.counter.value += 1


def _run_shard(shard: Shard) -> Summary:
    try:
        return write_shard(shard, _Process.folder, _Process.reader, _tick)
    except KeyboardInterrupt:  # reaches every process of the terminal; the parent reports it
        raise _StoppedError from None


def _in_processes(
    shards: Sequence[Shard], folder: Path, fit: Fit, workers: int, bar: Progress
) -> Iterator[Summary]:
    """Prepare shards in several processes."""
    counter, stop = multiprocessing.Value("Q", 0), multiprocessing.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(shards)),
        initializer=_start_process,
        initargs=(folder, fit, counter, stop),
    )
    try:
        pending = {pool.submit(_run_shard, shard) for shard in shards}
        while pending:
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.reach(counter.value)
            for future in done:
                yield future.result()
        bar.reach(counter.value)
    except BrokenProcessPool as error:
        raise SketchClipError(
            "A process that prepared images was killed, most likely because memory ran out. Run "
            "'sketchclip data prepare' again with fewer workers: what was written stays."
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
