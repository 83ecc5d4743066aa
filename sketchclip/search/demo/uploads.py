"""Sketches that somebody uploads, read in a process of its own.

A file can be made so that its parser does not come to an end, takes all memory or crashes. In a
thread that would stay so until the server is stopped; a process can be ended.
"""

import anyio
from anyio import BrokenWorkerProcess, to_process
from PIL import Image

from sketchclip.search.demo.limits import Gate, RequestError
from sketchclip.search.demo.thumbnails import to_png
from sketchclip.search.query import read_query

SIDE = 448
"""Longest side in pixels of what the page keeps of a sketch."""

_BODIES = 4
_START = 120.0
"""Seconds in which the process must be there; on a busy machine PyTorch alone takes ten."""


class Uploads:
    """Reads one upload after the other.

    Args:
        waiting: Uploads that wait at most.
        seconds: For one to be read.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        # To be held while the body is read, too: then few bodies are in memory.
        self.gate = Gate(_BODIES, waiting)
        self._limiter = anyio.CapacityLimiter(1)
        self._seconds = seconds

    async def start(self) -> None:
        """Start the process, if there is none: later ones find it."""
        with anyio.fail_after(_START):
            await to_process.run_sync(_ready, cancellable=True, limiter=self._limiter)

    async def png(self, data: bytes) -> bytes:
        """Make a small PNG of a sketch.

        Args:
            data: File of any kind that :func:`~sketchclip.search.query.read_query` reads.

        Returns:
            The PNG's content.

        Raises:
            SketchClipError: If it cannot be read, or not in time.
        """
        await self.start()
        try:
            with anyio.fail_after(self._seconds):
                return await to_process.run_sync(
                    _small_png, data, cancellable=True, limiter=self._limiter
                )
        except TimeoutError as error:
            raise RequestError(
                f"The sketch was not read within {self._seconds:g} seconds. Send a simpler one."
            ) from error
        except BrokenWorkerProcess as error:
            raise RequestError("The sketch cannot be read: its decoder stopped.") from error


def _ready() -> None:
    """Nothing: to be found, this module was imported."""


def _small_png(data: bytes) -> bytes:
    image = Image.fromarray(read_query(data))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return to_png(image)
