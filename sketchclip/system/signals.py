"""Ctrl-C, SIGTERM and SIGUSR1 end every command alike: one line, a status, nothing half done.

SIGUSR1 is what a cluster sends ahead of the end of a job, which is then queued again.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from sketchclip.system.slurm import is_first_process, requeue

_USR1 = getattr(signal, "SIGUSR1", None)  # Windows has none
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
PREEMPTED = 128 + (_USR1 or 0)

# A key pressed twice, or a signal to the group and one to its first process, is one request.
_ONE_REQUEST = 1.0

# PyTorch's clean-up of a loader whose processes could not start fails; the message says why.
_HALF_MADE_LOADER = "_MultiProcessingDataLoaderIter.__del__"


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever answers Ctrl-C answers it, too."""


class Preempted(Terminated):
    """SIGUSR1: the job is about to end, and is to go on later."""


class _Requests:
    """What was asked of this process, and when."""

    process: int = 0
    status: int | None = None
    last: float = float("-inf")
    holds: bool = False
    held: int | None = None


def listen() -> None:
    """Answer signals of this process, those apart that whoever started it wants ignored.

    While a command imports libraries, a signal ends it at once: nothing is begun, and libraries may
    swallow the exception or make an ImportError of it. Later it is a KeyboardInterrupt.
    """
    _Requests.process = os.getpid()
    defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
    defaults |= {number: signal.SIG_DFL for number in (signal.SIGTERM, _USR1) if number}
    for number, default in defaults.items():
        current = signal.getsignal(number)
        if current is default or getattr(current, "__module__", "") == "sketchclip":  # the first
            signal.signal(number, _answer)
    sys.unraisablehook = _again


def hold() -> None:
    """Let SIGTERM and SIGUSR1 wait until :func:`held` is asked; a second one does not wait.

    Handlers that a library has put in place of ours are replaced: Lightning's talk to other
    processes in the middle of a step.
    """
    _Requests.process = os.getpid()
    _Requests.holds, _Requests.held = True, None
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, _USR1):
            if number and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _answer)


def held() -> int | None:
    """Return the signal that waits; None if there is none."""
    return _Requests.held


def release(number: int | None = None) -> None:
    """End what :func:`hold` began.

    Args:
        number: Signal to answer now.

    Raises:
        KeyboardInterrupt: Of the kind of the signal.
    """
    _Requests.holds, _Requests.held = False, None
    if number is not None:
        _Requests.status = 128 + number
        raise _exception(number)


def stop_status(error: BaseException | None = None) -> int | None:
    """Status of a command that was asked to stop; None if it was not.

    Libraries may turn a KeyboardInterrupt into another error, so that the request counts as well.
    """
    if isinstance(error, Preempted):
        return PREEMPTED
    if isinstance(error, Terminated):
        return TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return _Requests.status


def say_stopped(hint: str = "") -> None:
    """Print the one line, from the first of several processes, and have a preempted job go on."""
    if is_first_process():
        before = "\n" if sys.stderr.isatty() else ""  # the terminal has shown the key
        told = [hint, requeue() if _Requests.status == PREEMPTED else ""]
        print(f"{before}{' '.join(filter(None, ['Stopped.', *told]))}", file=sys.stderr, flush=True)


def _exception(number: int) -> KeyboardInterrupt:
    return {signal.SIGTERM: Terminated, _USR1: Preempted}.get(number, KeyboardInterrupt)()


def _answer(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _Requests.process:  # a loader's process, which the command itself ends
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    now = time.monotonic()
    again = number == _USR1 and _Requests.held == _USR1  # a grid and its job both tell a run
    if now - _Requests.last < _ONE_REQUEST or again:
        return
    _Requests.last = now
    if _Requests.holds and _Requests.held is None and number != signal.SIGINT:
        _Requests.held, _Requests.status = number, 128 + number
        return
    _Requests.status = 128 + number
    if _imports_for_a_command(frame):
        with suppress(Exception):
            sys.stdout.flush()
        if is_first_process():
            told = requeue() if number == _USR1 else ""
            os.write(2, " ".join(filter(None, ["Stopped.", told])).encode() + b"\n")
        os._exit(128 + number)
    raise _exception(number)


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
    kinds = {Preempted: _USR1, Terminated: signal.SIGTERM}
    number = kinds.get(ignored.exc_type) or signal.SIGINT
    _Requests.last = float("-inf")
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
