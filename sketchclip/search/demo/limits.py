"""Bounds of a request, so that memory and time stay bounded whatever is sent, and from where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sketchclip.errors import SketchClipError

HEADERS = {
    # The page loads its own files and nothing else; inline scripts and other hosts are refused.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # No other site may show a photo of the index.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        query_bytes: Size of a query in JSON.
        upload_bytes: Size of an uploaded sketch; its pixels are bounded by ``read_query``.
        seconds: Time for a body to arrive.
        upload_seconds: Time for an uploaded sketch to be read.
        strokes: Strokes of a drawing.
        points: Points of all strokes of a drawing together.
        text: Characters of a text.
        results: Photos of an answer, for each model.
        searches: Queries that wait for the model; further ones are asked to come again.
        uploads: Sketches that wait to be read.
        photos: Requests that wait for a photo to be encoded.
        cache_bytes: Size of the encoded photos kept in memory.
        connections: Connections open at once.
    """

    query_bytes: int = 1 << 20
    upload_bytes: int = 8 << 20
    seconds: float = 15.0
    upload_seconds: float = 5.0
    strokes: int = 1_000
    points: int = 20_000
    text: int = 200
    results: int = 60
    searches: int = 64
    uploads: int = 8
    photos: int = 512
    cache_bytes: int = 64 << 20
    connections: int = 256


class RequestError(SketchClipError):
    """A request that cannot be answered.

    Args:
        message: Message for the user: what was expected, what was found, what to do.
        status: Status of the HTTP answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """Lets a few in at once; some wait, and the others are turned away.

    Args:
        workers: Those inside at once.
        waiting: Those outside at most.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(workers)
        self._waiting = waiting

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """Wait until there is room, and be inside while the block runs.

        Raises:
            RequestError: With status 503, if too many wait already.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise RequestError("Too many requests at once. Try again in a second.", 503)
        async with self._limiter:
            yield


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """Read a request's body; a larger one is refused before it is in memory.

    Args:
        request: Request of any content type.
        most: Largest size in bytes.
        seconds: Time for the body to arrive.

    Raises:
        RequestError: If the body is empty, too large or too slow.
    """
    parts, size = [], 0
    try:
        with anyio.fail_after(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise RequestError(f"At most {most / 2**20:g} MB can be sent.", 413)
                parts.append(part)
    except TimeoutError as error:
        raise RequestError(f"The data did not arrive within {seconds:g} seconds.", 408) from error
    except ClientDisconnect as error:
        raise RequestError("The connection was closed.") from error
    if not size:
        raise RequestError("Nothing was sent: the body is empty.")
    return b"".join(parts)


class Guard:
    """Middleware that answers only to the names of this machine, and only to its own pages.

    A page of another site could point a name of its own at 127.0.0.1 and read everything here
    (DNS rebinding); the Host header gives it away. It could also send queries without reading the
    answers; the Origin header gives that away. Every answer gets the headers of a closed page.

    Args:
        app: Application behind it.
        hosts: Names and addresses by which the server is reached.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        names = [f"[{host}]" if ":" in host else host for host in hosts]  # as IPv6 stands in URLs
        self._hosts = TrustedHostMiddleware(_accept, names, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = await self._refusal(scope, receive)
        app = JSONResponse({"error": refusal}, 403) if refusal else self._app
        await app(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope, receive: Receive) -> str | None:
        asked = {**scope, "accepted": False}
        await self._hosts(asked, receive, _drop)
        if not asked["accepted"]:
            return (
                "This server does not answer to that name. Open the address that it printed, or "
                "start it with --allow-host NAME."
            )
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
            return "Queries are taken from the server's own page only."
        return None


async def _accept(scope: Scope, *_: Any) -> None:
    scope["accepted"] = True


async def _drop(_: Message) -> None:
    """Forget the middleware's own refusal, which is no JSON and names no remedy."""
