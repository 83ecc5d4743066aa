"""Decode bitmaps as RGB on white, and say clearly which file cannot be read.

Pillow tells what a file is and decodes the odd kinds. Plain JPEG goes to OpenCV: the same
libjpeg-turbo and the same pixels, in about two thirds of the time.
"""

import io
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from sketchclip.errors import SketchClipError, is_systemic, printable

BITMAPS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"})
"""Endings of bitmap files, in lower case."""

MAX_PIXELS = 89_478_485
"""Largest number of pixels of a decoded image: Pillow's own limit, about 9,500 x 9,500."""

# Formats are recognized by content. Pillow knows more, some of them risky (EPS starts a program).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
_PNG_END = b"IEND\xaeB`\x82"
# EXIF orientation: how the stored picture becomes the upright one.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}

# Marks of JPEG, each behind 0xFF: a zero or a restart is a part of a scan.
_MARK, _SCAN, _END, _PROGRESSIVE = 0xFF, 0xDA, 0xD9, 0xC2
_MARKS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_BETWEEN_SCANS = {0xC4, 0xDB, 0xDD, 0xFE, _SCAN}


class UnreadableImageError(SketchClipError):
    """An image that cannot be read.

    Args:
        message: Message, or a traceback from a loader's worker, of which the last message remains.
        path: The image; None where the error came as text from a worker.
        found: What is wrong with it, in a few words; empty where that is in the message alone.
    """

    def __init__(self, message: str, path: Path | None = None, found: str = "") -> None:
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())
        self.path = path
        self.found = found


def unreadable(
    path: Path, found: str, expected: str = "", remedy: str = "repair or remove it"
) -> UnreadableImageError:
    """The error for an image: where, what was found, what was expected, what to do."""
    expected = expected or f"a complete {'/'.join(sorted(e[1:] for e in BITMAPS))} file"
    message = f"Cannot read image {printable(path)} ({found}). Expected {expected}; {remedy}."
    return UnreadableImageError(message, path, found)


def decode_image(
    data: bytes, path: Path, side: int | None = None, max_pixels: int | None = None
) -> np.ndarray:
    """Decode a bitmap as RGB, upright, transparency over white; the first frame of an animation.

    A transparent background read as black would make a sketch black on black.

    Args:
        data: Content of the file.
        path: Name of the image in messages.
        side: Smallest side in pixels that is still wanted: a large JPEG is decoded at a half, a
            quarter or an eighth, never below it.
        max_pixels: That the file may say it has, before anything is decoded; None for no limit
            but ``MAX_PIXELS`` of what is decoded.

    Returns:
        uint8 array, shape (H, W, 3).

    Raises:
        UnreadableImageError: If it is no image, incomplete or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # junk in metadata is no concern of the pixels
            return _decode(data, side, max_pixels)
    except UnidentifiedImageError as error:
        raise unreadable(path, f"unknown content, it starts with {data[:12]!r}") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders fail as they like: struct.error, zlib.error, IndexError
        raise unreadable(path, f"{type(error).__name__}: {error}") from error


def read_bytes(path: Path) -> bytes:
    """Content of a file, at least one byte.

    Raises:
        UnreadableImageError: If it is missing, no regular file, empty or not permitted.
    """
    again = "restore it, or remove it from the data"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe would wait forever
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise unreadable(path, f"it is {kind}", remedy="rename or remove it")
        data = path.read_bytes()
    except FileNotFoundError as error:
        found = "it is a link to a missing file" if path.is_symlink() else "there is no such file"
        raise unreadable(path, found, remedy=again) from error
    except PermissionError as error:
        raise unreadable(path, "no permission", remedy="make it readable for this user") from error
    except OSError as error:
        if is_systemic(error):
            raise
        raise unreadable(path, f"{error.strerror or error}", remedy=again) from error
    except ValueError as error:  # a name that no file can have
        raise unreadable(path, f"{error}", remedy=again) from error
    if not data:
        raise unreadable(path, "it is empty")
    return data


def _decode(data: bytes, side: int | None, max_pixels: int | None) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if max_pixels is not None:
            _check_pixels(image, max_pixels)
        reduction = 1
        if image.format in ("JPEG", "MPO"):  # MPO: a JPEG with more views behind it
            fits = min(image.size) // side if side else 1
            reduction = next(r for r in (8, 4, 2, 1) if fits >= r or r == 1)
            image.draft(None, (image.width // reduction, image.height // reduction))
        _check_pixels(image, MAX_PIXELS)
        plain = image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L")
        array = _decode_jpeg(data, reduction) if plain and not _is_unusual(data) else None
        if array is None:  # of a truncated file, too: Pillow says what is wrong with it
            _check_end(data, image.format)
            array = _on_white(image, data)
        return np.ascontiguousarray(_UPRIGHT.get(_orientation(image), lambda a: a)(array))


def _check_pixels(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        raise ValueError(f"{image.width} x {image.height} pixels; at most {most:,}")


def _is_unusual(data: bytes) -> bool:
    """Whether marks of a JPEG stand where damage puts them: OpenCV then makes up what follows."""
    at, progressive = 2, False
    while at + 4 < len(data) and data[at] == _MARK and data[at + 1] != _SCAN:
        progressive |= data[at + 1] == _PROGRESSIVE
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    for mark in _MARKS.finditer(data, at + 2):
        kind, head = data[mark.start() + 1], data[mark.start() + 2 : mark.start() + 5]
        if kind == _END:
            return False
        whole = kind != _SCAN or (len(head) == 3 and head[0] * 256 + head[1] == 6 + 2 * head[2])
        if not (progressive and whole and kind in _BETWEEN_SCANS):
            return True
    return True


def _decode_jpeg(data: bytes, reduction: int) -> np.ndarray | None:
    import cv2  # not for --help

    name = "IMREAD_COLOR" if reduction == 1 else f"IMREAD_REDUCED_COLOR_{reduction}"
    flags = getattr(cv2, name) | cv2.IMREAD_IGNORE_ORIENTATION
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return None if array is None else cv2.cvtColor(array, cv2.COLOR_BGR2RGB, dst=array)


def _check_end(data: bytes, kind: str | None) -> None:
    """Pillow does not ask for the end marks of these two."""
    whole = {"PNG": data.rfind(_PNG_END) >= 0, "GIF": data.rstrip(b"\0").endswith(b";")}
    if not whole.get(kind or "", True):
        raise ValueError("image file is truncated: its end mark is missing")


def _on_white(image: Image.Image, data: bytes) -> np.ndarray:
    clear: Any = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip and not scale
        deep = np.asarray(image)
        grey = np.where(deep == clear, 255, deep >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode not in ("RGBA", "LA", "PA") and clear is None:
        return np.array(image.convert("RGB"))  # a copy, as Pillow's own memory is read only
    if image.format == "PNG" and not isinstance(clear, bytes):
        # Pillow scales the pixels to 8 bits and leaves the transparent color as it was.
        depth = data[24]
        if image.mode == "L" and depth < 8:
            image.info["transparency"] = clear * 255 // (2**depth - 1)
        elif image.mode == "RGB" and depth == 16:
            image.info["transparency"] = tuple(value >> 8 for value in clear)
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.array(Image.alpha_composite(white, rgba).convert("RGB"))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # junk in metadata is no reason to refuse a picture
        return 1
