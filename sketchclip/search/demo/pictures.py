"""Pictures that leave the server: always decoded and encoded anew, never the file itself.

Uploaded sketches are read in a process of its own. A file can be made so that its parser does not
come to an end, takes all memory or crashes. In a thread that would stay so until the server is
stopped; a process can be ended.
"""

import io
import threading
from collections import OrderedDict
from pathlib import Path

import anyio
from anyio import BrokenWorkerProcess, to_process
from PIL import Image

from data_modules.images.read import read_image
from sketchclip.search.demo.limits import Gate, RequestError
from sketchclip.search.query import read_query

PHOTO_SIZES = (320, 1024)
"""Longest sides of photos in pixels: a tile on a sharp screen, and the details."""
SKETCH_SIDE = 448
"""Longest side in pixels of an uploaded sketch that the page keeps."""

_QUALITY = 88
_BODIES = 4
_START = 120.0
"""Seconds in which the process must be there; on a busy machine PyTorch alone takes ten."""


def to_png(image: Image.Image) -> bytes:
    """Encode a picture as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Thumbnails:
    """Small pictures of photos, of which the ones used last are kept.

    Args:
        cache_bytes: Size of all that are kept in memory.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def webp(self, photo: Path, side: int) -> bytes:
        """Encode a photo as WebP, at most ``side`` pixels long, not enlarged.

        Encoding anew leaves out what the file holds beside the pixels (places, names of cameras),
        and what only claims to be an image never reaches the browser.
        """
        key = (photo, photo.stat().st_mtime_ns if photo.is_file() else 0, side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        image = Image.fromarray(read_image(photo, side))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=_QUALITY, method=2)
        data = file.getvalue()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self.size += len(data)
            while self.size > self._cache_bytes:
                self.size -= len(self._kept.popitem(last=False)[1])
        return data


class Uploads:
    """Reader of uploaded sketches, one after the other.

    Args:
        waiting: Uploads that wait at most.
        seconds: Time in which one must be read.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        # To be held while the body is read, too: then few bodies are in memory.
        self.gate = Gate(_BODIES, waiting)
        self._limiter = anyio.CapacityLimiter(1)
        self._seconds = seconds

    async def start(self) -> None:
        """Start the process, if there is none: later uploads find it."""
        with anyio.fail_after(_START):
            await to_process.run_sync(_ready, cancellable=True, limiter=self._limiter)

    async def png(self, data: bytes) -> bytes:
        """Make a small PNG of a sketch.

        Args:
            data: File of any kind that :func:`~sketchclip.search.query.read_query` reads.

        Returns:
            Content of the PNG file.

        Raises:
            SketchClipError: If the sketch cannot be read, or not in time.
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
    image.thumbnail((SKETCH_SIDE, SKETCH_SIDE), Image.Resampling.LANCZOS)
    return to_png(image)
