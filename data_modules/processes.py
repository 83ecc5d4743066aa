"""A function of many items, computed in several processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from torch.utils.data import DataLoader

from sketchclip.errors import SketchClipError

Item = TypeVar("Item")
Result = TypeVar("Result")

_GRACE = 10.0
"""Seconds that a process works on when it is told to end."""


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, chunk: int = 32
) -> Iterator[list[Result]]:
    """Yield the results in the order of the items, a list for each chunk, few of them in memory.

    Args:
        function: Function that can be pickled.
        items: Arguments that can be pickled.
        workers: Number of processes; with 0 or 1, this process computes.
        chunk: Largest number of results in a list.

    Raises:
        SketchClipError: If a process was killed.
    """
    workers = workers if workers > 1 else 0
    size = max(1, min(chunk, len(items) // max(1, 2 * workers)))
    listed: Any = items  # a list will do as a dataset
    apply = partial(_results, function)
    try:
        yield from DataLoader(
            listed, size, num_workers=workers, collate_fn=apply, worker_init_fn=_end_with_parent
        )
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker") or "Bus error" in str(error):
            raise  # shared memory is too small: the command says what to do
        raise SketchClipError(
            "A process that read images was killed, most likely because memory ran out. Run the "
            "same command again with fewer: --workers 1. What was written stays."
        ) from error


def _results(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


def work_on(prepare: Callable[[int], None] | None, worker: int) -> None:
    """Prepare a process that reads images of a training; SIGTERM ends it some seconds later.

    A cluster tells all processes of a job at once, and the step that runs still needs its batch.

    Args:
        prepare: What a library does in the process first.
        worker: Number of the process.
    """
    if prepare is not None:
        prepare(worker)

    def answer(number: int, _: object) -> None:
        timer = threading.Timer(_GRACE, os._exit, (128 + number,))
        timer.daemon = True  # a process that has no more to read ends before
        timer.start()

    signal.signal(signal.SIGTERM, answer)


def _end_with_parent(_: int) -> None:
    """Have a worker end when its parent is killed, also with results that nobody will read.

    PyTorch's workers see that by themselves, but wait for their last results to be taken; a pipe
    that is full of them stays so, as each worker holds it open for the others.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
