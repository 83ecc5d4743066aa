"""Requests of the demo's clients: right, wrong, broken and slow ones."""

import http.client
import json
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tools.campaigns.observe import Observed

_HOST = "127.0.0.1"
_REFUSED = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 422, 431, 503})


def queries() -> list[bytes]:
    """Questions whose answers must not depend on what others ask."""
    found = []
    for seed in range(8):
        chance = random.Random(seed)
        rows = [[chance.randint(0, 1000) for _ in range(12)] for _ in "xy"]
        query = {"strokes": [dict(zip("xy", rows, strict=True))], "count": 5}
        if seed % 4 == 3:
            query = {"text": f"a photo of {seed} cats", "count": 5}
        found.append(json.dumps(query).encode())
    return found


@dataclass
class Notes:
    """What clients have seen."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[Observed] = field(default_factory=list)


def ask(port: int, body: bytes, timeout: float = 60) -> tuple[int, Any]:
    """Status and hits of a query; ids and scores in two decimals, which no other query may move."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=timeout)
    try:
        connection.request("POST", "/api/search", body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            return answer.status, content
        return 200, [[hit["id"] for hit in column] for column in content["results"]]
    finally:
        connection.close()


_BAD: list[bytes] = [
    b"{",
    b"[" * 50_000,
    b"\xff\xfe",
    b'{"strokes": [{"x": [1], "y": []}]}',
    b'{"strokes": [{"x": [1e999], "y": [NaN]}]}',
    b'{"text": 7}',
    b'{"count": -1, "text": "a"}',
    b'{"like": {"photo": "../../etc/passwd"}}',
    b'{"picture": "data:image/png;base64,AAAA"}',
    b'{"text": "a", "weight": 1e308}',
    b"null",
    b"",
]
_RAW = (
    b"GET / HTTP/1.1\r\n",
    b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999999\r\n\r\n{",
    b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/sketch HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET /page/../../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /api/about HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"X" * 5000,
)


def _good(port: int, chance: random.Random, known: list[tuple[bytes, Any]], notes: Notes) -> None:
    body, wanted = chance.choice(known)
    status, found = ask(port, body)
    notes.statuses[f"good {status}"] += 1
    if status == 200 and found != wanted:
        notes.faults.append(Observed("wrong", f"other photos for {body[:60]!r}", "other photos"))
    elif status not in (200, 503):
        notes.faults.append(Observed("wrong", f"{status} for a good query", f"good {status}"))
    if status == 503:
        time.sleep(0.2)


def _bad(port: int, chance: random.Random, notes: Notes) -> None:
    connection = http.client.HTTPConnection(_HOST, port, timeout=60)
    path = chance.choice(("/api/search", "/api/search", "/api/grid", "/api/sketch", "/nothing"))
    body = chance.choice([*_BAD, chance.randbytes(300), b"x" * 5_000_000])
    try:
        connection.request(chance.choice(("POST", "POST", "PUT")), path, body)
        status = connection.getresponse().status
    finally:
        connection.close()
    notes.statuses[f"bad {status}"] += 1
    if status not in _REFUSED:
        said = f"{status} for {path} with {body[:60]!r}"
        notes.faults.append(Observed("wrong", said, f"bad {status} {path}"))


def _raw(port: int, chance: random.Random, notes: Notes) -> None:
    """Bytes that are no request, or half of one; the connection is left open for a while."""
    with socket.create_connection((_HOST, port), timeout=10) as connection:
        connection.sendall(chance.choice(_RAW))
        connection.settimeout(chance.choice((0.1, 1, 3)))
        with suppress(TimeoutError):
            answer = connection.recv(200)
            status = answer.split(b" ")[1:2]
            notes.statuses[f"raw {status[0].decode() if status else 'closed'}"] += 1
            if status and status[0].startswith((b"2", b"5")) and status[0] != b"503":
                notes.faults.append(Observed("wrong", f"raw: {answer[:60]!r}", "raw answered"))


def _slow(port: int, chance: random.Random, notes: Notes) -> None:
    """A request that comes a few bytes at a time, and is often left."""
    head = (
        b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n" + b" " * 400
    )
    with socket.create_connection((_HOST, port), timeout=10) as connection:
        for start in range(0, chance.randint(40, len(head)), 20):
            connection.sendall(head[start : start + 20])
            time.sleep(0.05)
    notes.statuses["slow"] += 1


def client(port: int, end: float, seed: str, known: list[tuple[bytes, Any]], notes: Notes) -> None:
    """Ask again and again until the end; what is wrong goes to the notes."""
    chance = random.Random(seed)
    while time.monotonic() < end:
        kind = chance.random()
        try:
            if kind < 0.5:
                _good(port, chance, known, notes)
            elif kind < 0.75:
                _bad(port, chance, notes)
            elif kind < 0.9:
                _raw(port, chance, notes)
            else:
                _slow(port, chance, notes)
        except (OSError, http.client.HTTPException, ValueError) as error:
            notes.statuses[f"broken {type(error).__name__}"] += 1  # refused before its end
