"""Commands in processes of their own: started, signalled, waited for."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT = 60.0
"""Seconds after which a signal or a fault has led to a hang."""


@dataclass(frozen=True)
class Command:
    """A command line and its surroundings; see :mod:`tools.campaigns.warm`."""

    args: list[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    mount: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Ended:
    """Status (negative for a signal, None for a hang), output and seconds of a command."""

    status: int | None
    out: str
    err: str
    seconds: float

    @property
    def has_traceback(self) -> bool:
        """Whether something printed a traceback."""
        return "Traceback (most recent call last)" in self.err + self.out

    @property
    def last_line(self) -> str:
        """Last line that was said."""
        return (self.err.strip().splitlines() or self.out.strip().splitlines() or [""])[-1]


class Launcher:
    """Runs commands one at a time, by forks of a server or as new processes.

    Args:
        files: Folder for their output.
        env: Of the server, for example LD_PRELOAD.
    """

    def __init__(self, files: Path, env: Mapping[str, str] | None = None) -> None:
        self._files, self._env = files, dict(env or {})
        self._server: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._start = 0.0
        self.pid = 0

    def start(self, command: Command, cold: bool = False) -> None:
        """Start a command; ``cold`` is a new interpreter, which imports everything."""
        self._files.mkdir(parents=True, exist_ok=True)
        out, err = self._files / "out", self._files / "err"
        if cold:
            env = {**os.environ, **self._env, **command.env, "PYTHONPATH": str(REPOSITORY)}
            with out.open("wb") as stdout, err.open("wb") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "sketchclip", *command.args],
                    cwd=command.folder,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            self.pid = self._process.pid
        else:
            self._process = None
            request: dict[str, Any] = {**vars(command), "folder": str(command.folder)}
            request |= {"out": str(out), "err": str(err)}
            self.pid = int(self._say(json.dumps(request)))
        self._start = time.monotonic()

    def _say(self, line: str) -> str:
        if self._server is None or self._server.poll() is not None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tools.campaigns.warm"],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **self._env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # a buffer would hide lines from select
                start_new_session=True,
            )
            self._read(1800)
        assert self._server.stdin is not None
        self._server.stdin.write(line.encode() + b"\n")
        return self._read(60)

    def _read(self, limit: float) -> str:
        assert self._server is not None
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], limit)
        answer = self._server.stdout.readline().decode().strip() if ready else ""
        if not answer:
            raise RuntimeError("The server of commands has ended.")
        return answer

    def wait(self, limit: float) -> Ended:
        """Wait for the end; a command that needs longer is killed with all that it started."""
        status: int | None
        if self._process is not None:
            try:
                status = self._process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
                self.kill()
                self._process.wait()
        else:
            assert self._server is not None
            assert self._server.stdout is not None
            ready, _, _ = select.select([self._server.stdout], [], [], limit)
            if not ready:
                self.kill()
            answer = int(self._read(30))
            status = answer if ready else None
        seconds = time.monotonic() - self._start
        out, err = ((self._files / name).read_text("utf-8", "replace") for name in ("out", "err"))
        return Ended(status, out, err, seconds)

    def run(self, command: Command, limit: float = LIMIT, cold: bool = False) -> Ended:
        """Start a command and wait for its end."""
        self.start(command, cold)
        return self.wait(limit)

    def signal(self, number: int, group: bool) -> bool:
        """Send a signal to the command, or to its group as a terminal does; False if it ended."""
        send = os.killpg if group else os.kill
        try:
            send(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """Kill the command and all that it started."""
        for process in in_session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def left(self, seconds: float = 10) -> list[int]:
        """Processes of the last command that are still there after some time."""
        end = time.monotonic() + seconds
        while (found := in_session(self.pid)) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.kill()
            self._server.wait()


def in_session(leader: int) -> list[int]:
    """Processes of a session that run, zombies left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, *fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found
