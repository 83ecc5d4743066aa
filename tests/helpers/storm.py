"""Many clients at once, as the demo's server must bear them; always on 127.0.0.1.

``python -m tests.helpers.storm --clients 50 --seconds 60`` starts a server of its own and prints
figures.
"""

import argparse
import http.client
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sketchclip.search.demo.serving import LOCAL

CLIENTS = 50
EXPECTED = {200, 400, 404, 503}
"""Photos, refusals of what is wrong, photos that are none, and too many at once."""

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><path d='M 9 9 L 80 60 Q 5 5 70 9'/></svg>"
BAD = (b"{", b'{"strokes": [{"x": [1], "y": []}]}', b"[" * 50_000, b"\xff\xfe", b'{"text": 7}')


@dataclass
class Figures:
    """Of a storm: answers by status, seconds of each, connections that broke."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    duration: float = 0.0

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        return 1000 * sorted(self.seconds)[int(share * (len(self.seconds) - 1))]

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {n:,}" for status, n in sorted(self.statuses.items()))
        return (
            f"{len(self.seconds):,} answers in {self.duration:.0f} s, "
            f"{len(self.seconds) / self.duration:.0f} a second; {statuses}; "
            f"{len(self.broken)} broken connections; "
            f"p50 {self.quantile(0.5):.0f} ms, p95 {self.quantile(0.95):.0f} ms"
        )


def storm(port: int, clients: int, seconds: float) -> Figures:
    """Send all kinds of requests from many clients for some time."""
    figures = Figures()
    start = time.monotonic()
    threads = [
        threading.Thread(target=_client, args=(port, start + seconds, random.Random(n), figures))
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
    assert not any(thread.is_alive() for thread in threads)
    figures.duration = time.monotonic() - start
    return figures


def _client(port: int, end: float, chance: random.Random, figures: Figures) -> None:
    connection = http.client.HTTPConnection(LOCAL, port, timeout=60)
    photos = [""]
    while time.monotonic() < end:
        method, path, body = _request(chance, photos)
        start = time.monotonic()
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            figures.broken.append(repr(error))
            connection.close()
            continue
        figures.seconds.append(time.monotonic() - start)
        figures.statuses[answer.status] += 1
        if path == "/api/search" and answer.status == 200:
            photos = [hit["id"] for hit in json.loads(content)["results"][0]]
        if answer.status == 503:
            time.sleep(0.1)
    connection.close()


def _request(chance: random.Random, photos: list[str]) -> tuple[str, str, bytes | None]:
    kind = chance.random()
    if kind < 0.6:
        count = chance.randint(2, 200)
        row = [[chance.uniform(0, 1000) for _ in range(count)] for _ in "xy"]
        query = {"strokes": [{"x": row[0], "y": row[1]}], "text": chance.choice(["", "red"])}
        return "POST", "/api/search", json.dumps(query).encode()
    if kind < 0.85:
        return "GET", f"/photo/0/{chance.choice(photos)}?side={chance.choice((320, 1024))}", None
    if kind < 0.9:
        return "POST", "/api/sketch", SVG
    if kind < 0.95:
        return "POST", "/api/search", chance.choice(BAD)
    return "GET", chance.choice(("/", "/page/main.js", "/api/about", "/photo/0/none")), None


@contextmanager
def server(*options: str) -> Iterator[tuple[int, int]]:
    """``sketchclip demo`` in a process of its own: its id and its port."""
    command = [sys.executable, "-m", "sketchclip", "demo", "--port", "0", "--no-browser", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = next(filter(None, map(_ADDRESS.search, process.stdout)), None)
        assert found is not None, "the server did not start"
        yield process.pid, int(found[1])
        assert process.poll() is None, "the server has ended"
        process.send_signal(signal.SIGINT)  # Ctrl+C
        assert process.wait(20) == 0
        assert process.stdout.read().strip() == "Stop with Ctrl+C."
    finally:
        process.kill()
        process.wait()


def memory(pid: int) -> int:
    """MB in memory of a process and of those that it started; Linux only."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) >> 10  # type: ignore[index]
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(memory(int(child)) for task in tasks for child in task.read_text().split())


def main() -> None:
    """Print the figures of a storm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with server() as (pid, port):
        print("first 5 s:", storm(port, options.clients, 5))
        before = memory(pid)
        print("then:", storm(port, options.clients, options.seconds))
        print(f"memory: {before} MB after the first 5 s, {memory(pid)} MB at the end")


if __name__ == "__main__":
    main()
