"""Bitmaps: what is read must be what Pillow alone makes of the same bytes."""

import io
import warnings
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from data_modules.images.read import read_image
from sketchclip.search.query import read_query
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import mutate_bytes
from tools.campaigns.observe import WrongResultError

READ = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
OTHERS = ("TIFF", "PPM", "ICO")
"""Formats that Pillow writes and the product does not take: one message, never junk."""

_MODES = {
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "JPEG": ("RGB", "L", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("RGB", "L", "1", "P"),
    "GIF": ("P", "L"),
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


def encoded(kind: str, chance: Random) -> tuple[bytes, str]:
    """A small picture in one of the variants of a format."""
    size = (chance.randint(1, 40), chance.randint(1, 40))
    smooth = Image.frombytes("RGB", (3, 3), chance.randbytes(27)).resize(size)
    mode = chance.choice(_MODES.get(kind, ("RGB",)))
    if mode == "I;16":
        deep = np.asarray(smooth.convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(deep)
    else:
        image = smooth.convert("RGBA" if mode == "LA" else mode)
        if mode in ("RGBA", "LA"):
            image.putalpha(smooth.convert("L"))
            image = image.convert(mode)
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options = {"progressive": chance.random() < 0.5, "quality": chance.choice((30, 95))}
    if kind in ("JPEG", "PNG", "WEBP") and chance.random() < 0.4:
        exif = Image.Exif()
        exif[_ORIENTATION] = chance.choice((1, 3, 6, 8, 2, 5, 9))
        options["exif"] = exif
    if kind in ("GIF", "WEBP", "PNG") and chance.random() < 0.3:
        options |= {"save_all": True, "append_images": [image.copy()]}
    if mode == "P" and kind in ("PNG", "GIF") and chance.random() < 0.5:
        options["transparency"] = 0
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue(), f"{kind} {mode} {size[0]}x{size[1]}"


def reference(data: bytes) -> np.ndarray | None:
    """Pixels by Pillow: upright RGB over white; None where it says something else than 8 bits."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=READ) as image:
            image.load()
            deep = image.mode.startswith("I") or (image.format == "PNG" and data[24:25] != b"\x08")
            try:
                turn = _TURNS.get(int(image.getexif().get(_ORIENTATION, 1)))
            except Exception:  # junk in metadata is no reason to refuse a picture
                turn = None
            upright = image if turn is None else image.transpose(turn)
            if deep:
                return np.zeros((*upright.size[::-1], 0), np.uint8)
            rgba = upright.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def check_pixels(found: np.ndarray, data: bytes) -> None:
    """Compare what was read with Pillow's decoding.

    Raises:
        WrongResultError: If they differ, or Pillow refuses the bytes.
    """
    try:
        wanted = reference(data)
    except Exception as error:
        raise WrongResultError(
            f"read, and Pillow refuses: {type(error).__name__}: {error}"
        ) from error
    assert wanted is not None
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
        raise WrongResultError(f"an array of {found.dtype} {found.shape}")
    if found.shape[:2] != wanted.shape[:2]:
        raise WrongResultError(f"shape {found.shape}, Pillow has {wanted.shape}")
    if wanted.shape[2]:
        apart = np.abs(found.astype(int) - wanted).mean()
        if apart > 3:
            raise WrongResultError(f"pixels differ from Pillow's by {apart:.1f} in the mean")


def file_of(kind: str) -> Maker:
    """Maker of changed files of a format, read as data modules and as a query read them."""

    def make(chance: Random, _: Fixtures, scratch: Path) -> Case:
        data, done = encoded(kind, chance)
        if chance.random() > 0.05:  # else as it is
            data, change = mutate_bytes(data, chance)
            done = f"{done}: {change}"
        ending = kind if kind in READ or chance.random() < 0.5 else chance.choice(READ)
        path = scratch / f"picture.{ending.lower()}"
        query, side = chance.random() < 0.3, chance.choice((None, None, 8))

        def attempt(content: bytes) -> None:
            path.write_bytes(content)
            if query:
                found = read_query(path)
                if found.min() == found.max():
                    raise WrongResultError("a query that shows nothing")
                if max(found.shape) <= 512:
                    check_pixels(found, content)
            elif side is None:
                check_pixels(read_image(path), content)
            else:
                whole, found = read_image(path), read_image(path, side)
                if min(found.shape[:2]) < min(side, *whole.shape[:2]):
                    raise WrongResultError(f"{found.shape} for {whole.shape} at side {side}")

        how = "query" if query else f"side {side}"
        return Case(f"{done}, {how}", data, attempt, (path.name,))

    return make


MAKERS: dict[str, Maker] = {kind.lower(): file_of(kind) for kind in (*READ, *OTHERS)}
