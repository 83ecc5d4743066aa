"""Photos as the page gets them: decoded, made small and encoded anew, never the file itself."""

import io
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from data_modules.images.decode import read_image

SIDES = (320, 1024)
"""Longest sides in pixels: a tile on a sharp screen, and the details."""

_QUALITY = 88


class Thumbnails:
    """Makes small pictures of photos and keeps the ones used last.

    Args:
        cache_bytes: Kept in memory at most.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._most = cache_bytes
        self._kept: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def webp(self, photo: Path, side: int) -> bytes:
        """A photo as WebP, not enlarged.

        Encoding anew leaves out what the file holds beside the pixels (places, names of cameras),
        and what only claims to be an image never reaches the browser.

        Args:
            photo: Of an index.
            side: Longest side in pixels.

        Returns:
            The file's content.

        Raises:
            UnreadableImageError: If the photo was moved, or cannot be read.
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
            while self.size > self._most:
                self.size -= len(self._kept.popitem(last=False)[1])
        return data


def to_png(image: Image.Image) -> bytes:
    """A picture as a PNG's content."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
