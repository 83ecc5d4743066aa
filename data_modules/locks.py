"""One writer at a time: a lock that dies with its process."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sketchclip.errors import SketchClipError


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Keep a second process from doing the same; on file systems without locks, nobody.

    The file is made if it is not there, left behind, and names the process that holds it; a folder
    that was made for it goes again if nothing else is in it. ``busy`` names the work, such as
    "Another run is writing into X".

    Raises:
        SketchClipError: If another process holds the lock.
    """
    missing = [folder for folder in (file.parent, *file.parents[1:]) if not folder.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file, blocking=False)
    with suppress(NotImplementedError):
        try:
            lock.acquire()
        except Timeout as error:
            raise SketchClipError(
                f"{busy} (process {file.read_text().strip()}). Wait for it, or stop it: what it "
                "has written stays."
            ) from error
    try:
        file.write_text(f"{os.getpid()} on {platform.node()}")
        yield
    finally:
        with suppress(OSError):
            # Nothing came of it: leave no folder behind.
            if missing and [path.name for path in file.parent.iterdir()] == [file.name]:
                file.unlink()
                for folder in missing:
                    folder.rmdir()
        lock.release()
