"""A running demo for tests: the real server on a free port of 127.0.0.1, in a thread."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from sketchclip.search.demo.limits import Limits
from sketchclip.search.demo.server import create_app
from sketchclip.search.demo.serving import LOCAL, bind

LINE = {"x": [10, 500, 900], "y": [10, 800, 20]}


class Site:
    """Speaks HTTP with a server, without a library that would tidy up what is sent.

    Args:
        port: Of the server on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://{LOCAL}:{port}/"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            if body is not None and "Transfer-Encoding" not in (headers or {}):
                connection.putheader("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            if body:
                # Refused before its end, as it should be: the answer is there.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        return self.request("GET", path, None, {k.replace("_", "-"): v for k, v in headers.items()})

    def search(self, **query: Any) -> tuple[int, Any]:
        """Status and answer to a query."""
        status, _, body = self.request("POST", "/api/search", json.dumps(query).encode())
        return status, json.loads(body)


@contextmanager
def running(columns: Any, limits: Limits | None = None, **settings: Any) -> Iterator[Site]:
    """Serve while the block runs."""
    app = create_app(columns, [LOCAL], limits, **settings)
    taken = bind(LOCAL, 0)
    config = uvicorn.Config(
        app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    thread.start()
    try:
        yield Site(taken.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
