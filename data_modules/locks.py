"""One writer at a time: a lock that dies with its process."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sketchclip.errors import SketchClipError


@contextmanager
def locked(file: Path, busy: str) -> Iterator[None]:
    """Keep a second process from doing the same.

    On Windows, and on file systems without locks, nobody is kept out.

    Args:
        file: Of the lock; made with its folder if it is not there, and left behind.
        busy: What another process is doing, such as "Another run is writing into X".

    Raises:
        SketchClipError: If another process holds the lock.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise SketchClipError(
                f"{busy} (process {handle.read().strip()}). Wait for it, or stop it: what it has "
                "written stays."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                raise
        handle.truncate(0)
        handle.write(f"{os.getpid()} on {os.uname().nodename}")
        handle.flush()
        try:
            yield
        finally:
            # Explicitly: a process forked meanwhile would hold it for as long as it lives.
            fcntl.flock(handle, fcntl.LOCK_UN)
