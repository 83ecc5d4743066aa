"""A forked process that does one thing after the other; what hangs or kills it is told."""

import faulthandler
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from typing import Any

MEMORY = 6 << 30
"""Bytes of address space that a worker may take beyond what it starts with."""

_TRIALS = 400  # then a fresh process: what libraries keep must not add up


class HangError(Exception):
    """No answer within the limit; the text says where the process was."""


class DiedError(Exception):
    """The process ended without an answer."""


class Worker:
    """Calls a function in a process of its own.

    Args:
        handle: Answers a request; both are pickled. It may not raise.
        limit: Seconds for an answer.
    """

    def __init__(self, handle: Callable[[Any], Any], limit: float) -> None:
        self._handle, self._limit = handle, limit
        self._process: Any = None
        self._pipe: Any = None
        self._stacks: Any = None
        self._asked = 0

    def ask(self, request: Any) -> Any:
        """Answer to a request.

        Raises:
            HangError: If there was none in time; the process is ended.
            DiedError: If the process ended.
        """
        if self._process is None or self._asked >= _TRIALS:
            self.close()
            self._start()
        self._asked += 1
        try:
            self._pipe.send(request)
            if self._pipe.poll(self._limit):
                return self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(10)
            code = self._process.exitcode
            self.close()
            raise DiedError(f"the process died ({_said(code)})") from None
        where = self._where()
        self.close()
        raise HangError(f"no end within {self._limit:g} s, in {where}")

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._stacks = tempfile.TemporaryFile("w+")  # noqa: SIM115
        arguments = (self._handle, other, self._pipe, self._stacks)
        self._process = context.Process(target=_serve, args=arguments, daemon=False)
        self._process.start()
        other.close()
        self._asked = 0

    def _where(self) -> str:
        """Innermost lines of the product in the stack of a process that hangs."""
        os.kill(self._process.pid, signal.SIGUSR1)
        time.sleep(0.5)
        self._stacks.seek(0)
        lines = [line.strip() for line in self._stacks.read().splitlines() if "File" in line]
        own = [x for x in lines if "/sketchclip/" in x or "/data_modules/" in x]
        return "; ".join((own or lines)[:2]) or "an unknown place"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._stacks.close()
            self._process = None


def _serve(handle: Callable[[Any], Any], pipe: Any, other: Any, stacks: Any) -> None:
    other.close()
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign itself ends this process
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            os._exit(0)
        pipe.send(handle(request))


def _said(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
