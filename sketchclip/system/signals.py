"""Ctrl-C and SIGTERM end every command alike: one line, a status, nothing half done."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

# A key pressed twice, or a signal to the group and one to its first process, is one request.
_ONE_REQUEST = 1.0

# PyTorch's clean-up of a loader whose processes could not start fails; the message says why.
_HALF_MADE_LOADER = "_MultiProcessingDataLoaderIter.__del__"


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever answers Ctrl-C answers it, too."""


class _Requests:
    """What was asked of this process, and when."""

    process: int = 0
    status: int | None = None
    last: float = float("-inf")


def listen() -> None:
    """Answer signals of this process, those apart that whoever started it wants ignored.

    While a command imports libraries, a signal ends it at once: nothing is begun, and libraries may
    swallow the exception or make an ImportError of it. Later it is a KeyboardInterrupt.
    """
    _Requests.process = os.getpid()
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        current = signal.getsignal(number)
        if current is default or getattr(current, "__module__", "") == "sketchclip":  # the first
            signal.signal(number, _answer)
    sys.unraisablehook = _again


def stop_status(error: BaseException | None = None) -> int | None:
    """Status of a command that was asked to stop; None if it was not.

    Libraries may turn a KeyboardInterrupt into another error, so that the request counts as well.
    """
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return _Requests.status


def say_stopped(hint: str = "") -> None:
    """Print the one line, from the first of several processes of a training."""
    if _speaks():
        before = "\n" if sys.stderr.isatty() else ""  # the terminal has shown the key
        print(f"{before}Stopped.{' ' if hint else ''}{hint}", file=sys.stderr, flush=True)


def _speaks() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _answer(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _Requests.process:  # a loader's process, which the command itself ends
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    now = time.monotonic()
    if now - _Requests.last < _ONE_REQUEST:
        return
    _Requests.last, _Requests.status = now, 128 + number
    if _imports_for_a_command(frame):
        with suppress(Exception):
            sys.stdout.flush()
        if _speaks():
            os.write(2, b"Stopped.\n")
        os._exit(128 + number)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _imports_for_a_command(frame: FrameType | None) -> bool:
    """Whether a command itself, before its work, waits for an import."""
    caller: FrameType | None = None
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            caller = frame.f_back
        frame = frame.f_back
    while caller is not None and caller.f_globals.get("__name__") == "importlib":
        caller = caller.f_back
    name = "" if caller is None else str(caller.f_globals.get("__name__"))
    return name.startswith(("sketchclip.cli", "sketchclip.commands.", "__main__"))


def _again(ignored: Any, before: Any = sys.unraisablehook) -> None:
    """Repeat a request that Python has to ignore, as within ``__del__``, a moment later."""
    if getattr(ignored.object, "__qualname__", "") == _HALF_MADE_LOADER:
        return
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
        before(ignored)
        return
    number = signal.SIGTERM if issubclass(ignored.exc_type, Terminated) else signal.SIGINT
    _Requests.last = float("-inf")
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
