"""What one visitor may ask for, so that memory and time stay bounded whatever is sent."""

from dataclasses import dataclass
from types import TracebackType

import anyio
from starlette.requests import ClientDisconnect, Request

from sketchclip.errors import SketchClipError


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        query_bytes: Of a query in JSON.
        upload_bytes: Of an uploaded sketch; its pixels are bounded by ``read_query``.
        seconds: For a body to arrive.
        upload_seconds: For an uploaded sketch to be read.
        strokes: Of a drawing.
        points: Of all strokes of a drawing together.
        text: Characters of a text.
        results: Photos of an answer, for each model.
        searches: Queries that wait for the model; the next one is told to come again.
        uploads: Sketches that wait to be read.
        photos: Requests that wait for a photo to be re-encoded.
        cache_bytes: Of re-encoded photos kept in memory.
        connections: Open at once.
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
        message: What was expected, what was found, what to do.
        status: Of the HTTP answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """Lets a few in at once; some wait, and the others are turned away.

    Args:
        workers: Inside at once.
        waiting: Outside at most.
    """

    def __init__(self, workers: int, waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(workers)
        self._waiting = waiting

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            RequestError: With status 503, if too many wait already.
        """
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise RequestError("Too many requests at once. Try again in a second.", 503)
        await self._limiter.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limiter.release()


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """Read a request's body; a larger one is refused before it is in memory.

    Args:
        request: Of any content type.
        most: Bytes.
        seconds: For the body to arrive.

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
