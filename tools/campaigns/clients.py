"""Part ``clients``: the demo's server under many clients, good and bad ones."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tools.campaigns.observe import Observed, Report
from tools.campaigns.processes import REPOSITORY
from tools.campaigns.requests import Notes, ask, client, queries

CLIENTS = 50
SECONDS = 30.0
"""Duration of a trial's storm."""

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
_GROWTH_MB, _GROWTH_THREADS = 400, 60


class Clients:
    """Trials of the demo's server.

    Args:
        folder: Of the campaign.
    """

    name = "clients"
    kinds = ("demo",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Nothing is needed: the demo brings its own photos."""
        (self._folder / "scratch").mkdir(exist_ok=True)

    def trial(self, kind: str, seed: str) -> Report:
        """Start a server, ask it quietly, storm it, ask again, and stop it."""
        del kind
        start = time.monotonic()
        out, err = (self._folder / "scratch" / f"server.{name}" for name in ("out", "err"))
        command = [sys.executable, "-m", "sketchclip", "demo", "--port", "0", "--no-browser"]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self._server = subprocess.Popen(command, cwd=REPOSITORY, stdout=stdout, stderr=stderr)
        try:
            port = self._port(out)
            notes = Notes()
            observed = self._stormed(port, seed, notes) if port else None
            observed = observed or (None if port else Observed("hang", "no start", "no start"))
            observed = observed or self._stopped(err)
        finally:
            self.close()
        counts = ", ".join(f"{name}: {n}" for name, n in sorted(notes.statuses.items()))
        seconds = time.monotonic() - start
        return Report(f"{CLIENTS} clients, {counts}", observed or Observed("fine"), seconds)

    def _port(self, out: Path) -> int | None:
        assert self._server is not None
        end = time.monotonic() + 900
        while time.monotonic() < end and self._server.poll() is None:
            if found := _ADDRESS.search(out.read_text("utf-8")):
                return int(found[1])
            time.sleep(0.2)
        return None

    def _stormed(self, port: int, seed: str, notes: Notes) -> Observed | None:
        assert self._server is not None
        known = [(body, ask(port, body)[1]) for body in queries()]
        before = _size(self._server.pid)
        end = time.monotonic() + SECONDS
        threads = [
            threading.Thread(
                target=client, args=(port, end, f"{seed} {n}", known, notes), daemon=True
            )
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 120)
        if any(thread.is_alive() for thread in threads):
            return Observed("hang", "a client waits for an answer", "client waits")
        if notes.faults:
            return notes.faults[0]
        time.sleep(2)
        for body, wanted in known:
            if ask(port, body) != (200, wanted):
                return Observed("wrong", "other answers after the storm", "after the storm")
        after = _size(self._server.pid)
        if after[0] > before[0] + _GROWTH_MB or after[1] > before[1] + _GROWTH_THREADS:
            said = f"MB and threads grew from {before} to {after}"
            return Observed("wrong", said, "grows")
        return None

    def _stopped(self, err: Path) -> Observed | None:
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        try:
            status = self._server.wait(60)
        except subprocess.TimeoutExpired:
            return Observed("hang", "no end within 60 s of Ctrl+C", "Ctrl+C")
        said = err.read_text("utf-8", "replace")
        if "Traceback" in said:
            last = said.strip().splitlines()[-1]
            return Observed("traceback", f"in the log: {last}", f"log {last[:40]}", said)
        if status not in (0, 130):
            return Observed("unclear", f"status {status} after Ctrl+C", "Ctrl+C status", said)
        return None

    def close(self) -> None:
        """End the server."""
        if self._server is not None and self._server.poll() is None:
            self._server.kill()
            self._server.wait()


def _size(process: int) -> tuple[int, int]:
    """MB in memory, and threads."""
    status = Path(f"/proc/{process}/status").read_text()
    numbers = [int(x) for x in re.findall(r"^(?:VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)]
    return numbers[0] >> 10, numbers[1]
