"""Standard streams that cannot harm a command: a reader that has enough, a terminal that is gone.

``sketchclip fit | head -1`` goes on and keeps what it trains: what was not read is not missed. The
same holds for the flush at the end of the interpreter, which prints 'Exception ignored' else.
"""

import errno
import io
import os
import sys
from typing import Any

# The reader or the terminal has gone; other errors, such as a full disk, are told at the end.
_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET})


class _Outlet(io.FileIO):
    """File descriptor of a standard stream; from the first failure on it leads nowhere."""

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except BlockingIOError:  # of a pipe that somebody made so: wait for its reader
            os.set_blocking(self.fileno(), True)
            return self.write(data)
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def mend_streams() -> None:
    """Let the standard streams of this process outlive their readers; open those that are closed.

    A closed descriptor would be given to the next file that is opened, and what libraries print
    would end up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream, io.TextIOWrapper) and stream.fileno() == number:
            setattr(sys, name, _robust(stream, number))


def _robust(stream: io.TextIOWrapper, number: int) -> io.TextIOWrapper:
    stream.flush()
    outlet = _Outlet(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=stream.encoding,
        errors=stream.errors,
        newline=None,
        # Unbuffered (python -u) would be the text alone, and the bytes below wait in their buffer.
        line_buffering=stream.line_buffering or stream.write_through,
    )


def output_failure() -> OSError | None:
    """Why standard output could not be written, unless its reader has gone: the disk is full."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Outlet) else None
