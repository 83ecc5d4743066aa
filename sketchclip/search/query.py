"""Queries: sketches in whatever form people have them, alone or together with words."""

import codecs
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args
from xml.parsers import expat

import numpy as np

from data_modules.images.decode import decode_image, unreadable
from data_modules.images.drawings import parse_strokes, read_line, render, split_line
from sketchclip.errors import SketchClipError

Kind = Literal["image", "svg", "strokes"]

MAX_BYTES = 20_000_000
"""Largest size of a picture; a photo by a phone has 3 to 10 million bytes."""

MAX_PIXELS = 25_000_000
"""Largest number of pixels that a picture may state: 5000 x 5000."""

MAX_DRAWING_BYTES = 500_000
"""Largest size of an SVG file or strokes, some seconds of work; sketches have up to 100,000."""

_SIDE = 512  # no CLIP looks at more, so a large JPEG is decoded smaller
_RENDERED = 224
_STDIN = Path("standard input")


def read_query(source: Path | str | bytes, kind: str | None = None) -> np.ndarray:
    """Read a sketch: dark lines on white, transparency over white.

    Nothing is fetched and nothing is run: references in an SVG file are not followed, and scripts
    and pictures in it are passed over.

    Args:
        source: File (``-`` for standard input, ``cat.ndjson#12`` for one line), or its content: a
            picture (png, jpg, webp, bmp, gif), an SVG file, or strokes of Quick, Draw! as JSON:
            ``{"drawing": [[[x, ...], [y, ...]], ...]}`` or the list alone, see
            :func:`~data_modules.images.drawings.in_rows` for strokes as points.
        kind: ``image``, ``svg`` or ``strokes``; by default as the content looks.

    Returns:
        uint8 RGB, shape (H, W, 3).

    Raises:
        SketchClipError: If it cannot be read, is too large, or shows nothing.
    """
    if kind not in (None, *get_args(Kind)):
        raise SketchClipError(f"kind={kind}: expected one of {', '.join(get_args(Kind))}.")
    path, data = _content(source)
    kind = kind or _kind(data)
    most = MAX_BYTES if kind == "image" else MAX_DRAWING_BYTES
    if len(data) > most:
        raise unreadable(
            path, f"{len(data):,} bytes", f"at most {most:,} for {kind}", "make it smaller"
        )
    if kind == "image":
        image = decode_image(data, path, _SIDE, MAX_PIXELS)
    else:
        if kind == "svg":
            _check_svg(data, path)
        else:
            data = _one_line(data, path)
        image = render(parse_strokes(data, path, kind == "svg"), _RENDERED)
    if image.min() == image.max():
        raise unreadable(path, "it shows nothing: all of it has one colour", "a sketch", "draw it")
    return image


def combine(sketch: np.ndarray | None, text: np.ndarray | None, weight: float) -> np.ndarray:
    """Combine the embeddings of a sketch and a text: "this shape, but red".

    Args:
        sketch: Vector, (dim,), of unit length if there is a text; None for a search by text.
        text: Unit vector, (dim,); None for a search by sketch.
        weight: Weight of the text, from 0 (the sketch alone) to 1 (the text alone).

    Returns:
        fp32, shape (dim,): the one that is given as it is, else a unit vector.

    Raises:
        SketchClipError: If there is neither, or the weight is outside 0..1.
    """
    if not 0 <= weight <= 1:
        raise SketchClipError(f"The weight of the text is {weight}; expected 0 to 1.")
    if sketch is None and text is None:
        raise SketchClipError("Nothing to search for: give a sketch, a text or both.")
    if sketch is None or text is None:
        given = sketch if text is None else text
        assert given is not None
        return given.astype(np.float32)
    mixed = (1 - weight) * sketch + weight * text
    length = np.linalg.norm(mixed)
    if length < 1e-6:
        raise SketchClipError("Sketch and text cancel each other out. Choose another weight.")
    return (mixed / length).astype(np.float32)


def _content(source: Path | str | bytes) -> tuple[Path, bytes]:
    """Name of the query in messages, and its bytes: at most just above the largest allowed."""
    if isinstance(source, bytes):
        return Path("sketch"), source
    source = Path(source)
    if str(source) == "-":
        return _STDIN, sys.stdin.buffer.read(MAX_BYTES + 1)
    if split_line(source)[1] is not None:
        return source, read_line(source)
    try:
        if not source.is_file():
            found = "it is no regular file" if source.exists() else "there is no such file"
            raise unreadable(source, found, "a sketch", "name another")
        with source.open("rb") as file:
            return source, file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(
            source, error.strerror or str(error), "a sketch", "name another"
        ) from error


def _kind(data: bytes) -> Kind:
    start = data[:1024].removeprefix(codecs.BOM_UTF8).lstrip()
    return "svg" if start[:1] == b"<" else "strokes" if start[:1] in (b"{", b"[") else "image"


def _one_line(data: bytes, path: Path) -> bytes:
    """A drawing as a line of an ndjson file."""
    try:
        found = [*_json_values(data.decode("utf-8-sig").strip())]
    except (ValueError, RecursionError):
        found = []
    if not found:  # parsing says what is wrong with it
        return data.removeprefix(codecs.BOM_UTF8)
    if len(found) == 1 and isinstance(found[0], list):
        # A list of drawings, or of the strokes of one.
        records = bool(found[0]) and all(isinstance(value, dict) for value in found[0])
        found = found[0] if records else [{"drawing": found[0]}]
    if len(found) > 1:
        raise unreadable(
            path,
            f"{len(found)} drawings",
            "one",
            f"name a line, such as {path}#0" if path.suffix.lower() == ".ndjson" else "choose one",
        )
    return json.dumps(found[0]).encode()


def _json_values(text: str) -> Iterator[Any]:
    """Values that stand one after another, on lines of their own or pretty-printed."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        at = len(text) - len(text[at:].lstrip())


def _check_svg(data: bytes, path: Path) -> None:
    """Refuse what grows when it is read: entities, and clones that may hold clones."""

    def refuse_entity(name: str, *_: object) -> None:
        raise ValueError(f"it declares the entity '{name:.40}'")

    def refuse_use(name: str, _: object) -> None:
        if name.rpartition(":")[2].lower() == "use":
            raise ValueError("it has clones (<use>)")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse_entity
    parser.StartElementHandler = refuse_use
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise unreadable(
            path, str(error), "a plain SVG file", "save it as plain SVG, clones as paths"
        ) from error
