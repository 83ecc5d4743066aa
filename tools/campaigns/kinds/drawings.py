"""Drawings: SVG, Quick, Draw! lines, and strokes as JSON; points must be those of the file."""

import io
import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from data_modules.images.drawings import count_drawings, read_strokes
from data_modules.images.read import read_image
from sketchclip.search.query import read_query
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import mutate_bytes, mutate_number, mutate_tree, reencode
from tools.campaigns.observe import WrongResultError

Strokes = list[list[list[float]]]


def strokes(chance: Random) -> Strokes:
    """Some strokes of Quick, Draw!."""
    counts = [chance.randint(2, 6) for _ in range(chance.randint(1, 3))]
    return [[[chance.randrange(256) for _ in range(n)] for _ in "xy"] for n in counts]


def strict(drawing: Any) -> Strokes | None:
    """A drawing if it is one without any doubt, else None: rows of x and y, or all by points."""
    if not isinstance(drawing, list) or not drawing:
        return None
    for form in (_rows, _points):
        found = [form(stroke) for stroke in drawing]
        if None not in found:
            return [rows for rows in found if rows]
    return None


def _rows(stroke: Any) -> list[list[float]] | None:
    """Rows of x and y of a stroke."""
    if not isinstance(stroke, list) or not all(isinstance(part, list) and part for part in stroke):
        return None
    rows = stroke[:2]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]) or len(stroke) > 3:
        return None
    for value in (*rows[0], *rows[1]):
        if type(value) not in (int, float) or not math.isfinite(value):
            return None
    return rows


def _points(stroke: Any) -> list[list[float]] | None:
    """The same of a stroke that is written point by point."""
    if not isinstance(stroke, list) or not all(isinstance(part, list) for part in stroke):
        return None
    if not stroke or {*map(len, stroke)} - {2, 3}:
        return None
    return _rows([[point[axis] for point in stroke] for axis in (0, 1)])


def check_strokes(found: list[np.ndarray], line: bytes) -> None:
    """Compare points with those that the line holds."""
    try:
        drawing = strict(json.loads(line)["drawing"])
    except Exception:
        drawing = None
    if drawing is None:
        raise WrongResultError("strokes of a line that holds no drawing")
    same = len(found) == len(drawing) and all(
        one.shape == (len(stroke[0]), 2) and np.allclose(one.T, np.float64(stroke[:2]), rtol=1e-6)
        for one, stroke in zip(found, drawing, strict=True)
    )
    if not same:
        raise WrongResultError("other points than those of the line")


def check_ink(image: np.ndarray, size: int = 224) -> None:
    """A drawing that was taken shows something on white."""
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise WrongResultError(f"an array of {image.dtype} {image.shape}")
    if image.min() > 128 or image.max() < 255:
        raise WrongResultError(f"a picture of {image.min()} to {image.max()}, no ink on white")


def ndjson(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """A file of several lines, one of them changed; every line is read."""
    records: list[Any] = [{"word": "cat", "drawing": strokes(chance)} for _ in range(3)]
    row = chance.randrange(3)
    if chance.random() < 0.5:
        records[row], done = mutate_tree(records[row], chance)
        data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    else:
        text = "".join(json.dumps(record) + "\n" for record in records)
        if chance.random() < 0.8:
            data, done = mutate_bytes(text.encode(), chance)
        else:
            data, done = reencode(text, chance)
    path = scratch / "cat.ndjson"

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        lines = io.BytesIO(content).readlines()  # ended by line feeds alone
        refused: Exception | None = None
        for number in range(min(count_drawings(path), 6)):
            one = path.with_name(f"{path.name}#{number}")
            try:
                check_strokes(read_strokes(one), lines[number])
                check_ink(read_image(one))
            except ValueError as error:  # the others must be read all the same
                refused = error
        if refused is not None:
            raise refused

    return Case(done, data, attempt, (path.name,))


def query(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """Strokes of a query as JSON: a mapping, or the list alone."""
    drawing = strokes(chance)
    record: Any = chance.choice(({"drawing": drawing}, drawing))
    if chance.random() < 0.6:
        record, done = mutate_tree(record, chance)
        data = json.dumps(record, indent=chance.choice((None, 1))).encode()
    else:
        data, done = mutate_bytes(json.dumps(record).encode(), chance)
    path = scratch / "strokes.json"

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        image = read_query(path)
        check_ink(image)
        try:
            told = json.loads(content.decode("utf-8-sig"))
            drawing = strict(told["drawing"] if isinstance(told, dict) else told)
        except Exception:
            drawing = None
        if drawing is None:
            raise WrongResultError("a picture of what is no drawing")
        check_form(image, drawing)

    return Case(done, data, attempt, (path.name,))


def check_form(image: np.ndarray, drawing: Strokes) -> None:
    """The ink is as wide for its height as the strokes are, within the width of the pen."""
    rows, columns = np.nonzero(image[..., 0] < 128)
    xs, ys = ([v for stroke in drawing for v in stroke[axis]] for axis in (0, 1))
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    span = max(wide, high)
    if not span or not math.isfinite(span):
        return
    longest = max(np.ptp(columns), np.ptp(rows))
    for found, wanted in ((np.ptp(columns), wide / span), (np.ptp(rows), high / span)):
        if abs(found - longest * wanted) > 12:
            raise WrongResultError(f"ink of {np.ptp(columns)} x {np.ptp(rows)} for {wide} x {high}")


_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300" viewBox="0 0 300 300">'
_SAME = (
    ("a group around it", "<g>", "</g>"),
    ("a comment", "<!-- <path d='M0 0L9 9'/> -->", ""),
    ("a title", "<title>M 1 1 é</title>", ""),
    ("an empty group", "<g/><defs/>", ""),
    ("a link", "<a>", "</a>"),
)


def svg(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """An SVG file with changes that matter, or with some that must not."""
    drawing = strokes(chance)
    paths = [
        '<path fill="none" stroke="black" d="M '
        + " L ".join(f"{x} {y}" for x, y in zip(*stroke, strict=True))
        + '"/>\n'
        for stroke in drawing
    ]
    body, same = "".join(paths), chance.random() < 0.25
    done, before, after = chance.choice(_SAME)
    text = f"{_HEAD}\n{before if same else ''}{body}{after if same else ''}</svg>\n"
    data = text.encode()
    if same and chance.random() < 0.5:
        kind = chance.choice(("utf-8-sig", "utf-16", "iso-8859-1"))
        name = kind.removesuffix("-sig")
        data = f'<?xml version="1.0" encoding="{name}"?>\n{text}'.encode(kind, "xmlcharrefreplace")
        done = f"{done}, {kind}"
    if not same:
        data, done = chance.choice((mutate_bytes, mutate_number, _markup))(data, chance)
    path = scratch / "cat.svg"
    as_query = chance.random() < 0.5

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        check_ink(read_query(path) if as_query else read_image(path))
        found = read_strokes(path)
        if not all(np.isfinite(stroke).all() for stroke in found):
            raise WrongResultError("points that are no finite numbers")
        if same and content == data:
            wanted = [np.float64(stroke).T for stroke in drawing]
            if len(found) != len(wanted) or not all(map(_ends_agree, found, wanted)):
                raise WrongResultError(f"other strokes with {done.partition(',')[0]}")

    return Case(f"{'same: ' if same else ''}{done}", data, attempt, (path.name,))


def _ends_agree(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.allclose(found[[0, -1]], wanted[[0, -1]], atol=0.5))


def _markup(data: bytes, chance: Random) -> tuple[bytes, str]:
    """Changes that only markup has."""
    number = chance.choice(("NaN", "1e400", "-1e300", "", "50%", "1e-300", "x", "0"))
    name = chance.choice(("stroke", "fill", "opacity", "stroke-width", "display", "transform"))
    value = chance.choice(("none", "white", "#fff", "#ffffff00", number, "scale(0)", "rotate(nan)"))
    new, done = chance.choice(
        (
            (f'<path {name}="{value}" ', f"{name}={value}"),
            (f'<rect width="{number}" height="9"/><path ', f"a rectangle of width {number}"),
            (f'<circle r="{number}" stroke="black"/><path ', f"a circle of radius {number}"),
            (f'<g transform="scale({number or 0})"/><path ', f"a scale of {number}"),
            ("<g>" * 3000 + "<path ", "3000 open groups"),
            ('<use href="#a"/><path id="a" ', "a clone"),
            ('<image href="file:///etc/passwd"/><path ', "a picture beside it"),
            ("<style>path{stroke:none}</style><path ", "a style without ink"),
            (f'<path d="M0 0 A {number} 5 0 1 1 9 9"/><path ', f"an arc of {number}"),
        )
    )
    return data.replace(b"<path ", new.encode(), 1), done


MAKERS: dict[str, Maker] = {"ndjson": ndjson, "strokes": query, "svg": svg}
