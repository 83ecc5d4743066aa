"""Sketches given as strokes: lines of Quick, Draw! ndjson files and SVG files.

Quick, Draw! gives strokes as ``[[x, ...], [y, ...]]``, with times as a third row in the raw files.
Strokes as points ``[[x, y], ...]`` are understood, too. SVG files (Sketchy, TU-Berlin) hold curves,
which are sampled finely enough to look the same.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.images.decode import read_bytes, unreadable
from data_modules.images.render import check_drawing, render_strokes
from data_modules.images.svg.strokes import svg_strokes
from sketchclip.errors import is_systemic

SVG, NDJSON = ".svg", ".ndjson"
DRAWINGS = frozenset({SVG, NDJSON})
"""Endings of files of strokes, in lower case."""

_MOST_ROWS = 4  # x, y, times and the pressure of a pen

_STEP = 32
"""Lines between two known offsets: 100 MB of drawings cost 40 kB, and a read parses one line."""


def split_line(path: Path) -> tuple[Path, int | None]:
    """File and line of a drawing: line n of an ndjson file, from 0, is named ``x.ndjson#n``.

    Args:
        path: Any path.

    Returns:
        The file and the line; the path itself and None where it names no line.

    >>> split_line(Path("cat.ndjson#12"))[1], split_line(Path("cat #2.png"))[1]
    (12, None)
    """
    name, _, number = path.name.rpartition("#")
    if number.isdecimal() and name.lower().endswith(NDJSON):
        return path.with_name(name), int(number)
    return path, None


def is_drawing(path: Path) -> bool:
    """Whether a path names strokes: an SVG file or a line of an ndjson file."""
    return path.suffix.lower().partition("#")[0] in DRAWINGS


def strokes_file(path: Path) -> Path | None:
    """The drawing that holds the strokes of a sketch; None if there is none.

    That of a bitmap is the SVG file of the same name beside it: ``cat/1.svg`` of ``cat/1.png``.
    """
    if is_drawing(path):
        return path
    beside = path.with_suffix(SVG)
    return beside if beside.is_file() else None


def svg_of(drawing: Sequence[Sequence[Sequence[float]]]) -> str:
    """An SVG file of strokes ``[[x, ...], [y, ...]]``, from which the same points are read.

    >>> svg_of([[[1, 5], [2, 2]]]).partition("<path ")[2]
    'd="M1 2L5 2"/></g></svg>'
    """
    lines = ("L".join(f"{x} {y}" for x, y in zip(*stroke[:2], strict=True)) for stroke in drawing)
    paths = "".join(f'<path d="M{line}"/>' for line in lines)
    start = '<svg xmlns="http://www.w3.org/2000/svg"><g fill="none" stroke="black">'
    return f"{start}{paths}</g></svg>"


def read_strokes(path: Path) -> list[np.ndarray]:
    """Read the strokes of a drawing.

    Args:
        path: An SVG file, or ``x.ndjson#n`` for the drawing of line n, counted from 0.

    Returns:
        float32 arrays of points, shape (n, 2), one a stroke: x to the right, y downwards, in the
        file's own units.

    Raises:
        UnreadableImageError: If the file or the line is missing or holds no drawing.
    """
    is_svg = path.suffix.lower() == SVG
    return parse_strokes(read_bytes(path) if is_svg else read_line(path), path, is_svg)


def parse_strokes(data: bytes, path: Path, is_svg: bool) -> list[np.ndarray]:
    """Strokes of a drawing that was read already, as :func:`read_strokes` gives them.

    Raises:
        UnreadableImageError: If it holds no drawing.
    """
    try:
        return svg_strokes(data) if is_svg else _line_strokes(data)
    except Exception as error:  # parsers of JSON, XML and paths fail in many ways
        line = 'a line {"drawing": [[[x, ...], [y, ...]], ...]}'
        expected = "an SVG file with strokes" if is_svg else line
        raise unreadable(path, f"{type(error).__name__}: {error}", expected) from error


def render_drawing(path: Path, size: int) -> np.ndarray:
    """Read a drawing and render it in black on white: uint8 RGB, (size, size, 3).

    Raises:
        UnreadableImageError: If the file or the line is missing or holds no drawing.
    """
    return render(read_strokes(path), size)


def render(strokes: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Render strokes of :func:`read_strokes`: uint8 RGB, shape (size, size, 3)."""
    drawing = [stroke.T.tolist() for stroke in strokes]
    return np.array(render_strokes(drawing, size, extent=None))


def count_drawings(path: Path) -> int:
    """Number of drawings in an ndjson file: its lines, without empty ones at the end."""
    return _lines(path)[1]


def stroke_sequence(strokes: Sequence[np.ndarray], max_points: int) -> np.ndarray:
    """Strokes as one array of points for sequence models.

    A drawing with more points is thinned evenly, ends of strokes stay; if there are even more
    strokes than pairs of points, the shortest strokes go.

    Args:
        strokes: As :func:`read_strokes` gives them.
        max_points: Length of the sequence, at least 2.

    Returns:
        float32, shape (max_points, 3): x and y in [0, 1], scaled by the longer side of the
        drawing; pen 0 within a stroke, 1 at its last point, -1 in the padding (x = y = 0).

    Example:
        >>> line = np.array([[10, 20], [30, 20], [50, 30]])
        >>> stroke_sequence([line], 4).tolist()
        [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.25, 1.0], [0.0, 0.0, -1.0]]
    """
    if len(strokes) > max_points // 2:
        # By extent, not by number of points: a dot may have been sampled many times.
        extents = [float(np.ptp(stroke, axis=0).max()) for stroke in strokes]
        longest = np.argsort(extents, kind="stable")[::-1][: max_points // 2]
        strokes = [strokes[i] for i in sorted(longest)]
    total = sum(map(len, strokes))
    if total > max_points:
        # Two points are sure for every stroke; the rest is shared by number of points.
        spare = (max_points - 2 * len(strokes)) / total
        counts = [min(len(s), 2 + int(spare * len(s))) for s in strokes]
        strokes = [
            s[np.linspace(0, len(s) - 1, n).round().astype(int)]
            for s, n in zip(strokes, counts, strict=True)
        ]
    points = np.concatenate(strokes).astype(np.float64)
    points -= points.min(axis=0)
    sequence = np.zeros((max_points, 3), np.float32)
    sequence[:, 2] = -1
    sequence[: len(points), :2] = points / (points.max() or 1.0)
    sequence[: len(points), 2] = 0
    sequence[np.cumsum([len(s) for s in strokes]) - 1, 2] = 1
    return sequence


def _line_strokes(line: bytes) -> list[np.ndarray]:
    record = json.loads(line)
    if not isinstance(record, dict) or "drawing" not in record:
        raise ValueError("no 'drawing'")
    drawing = in_rows(record["drawing"])
    check_drawing(drawing, extent=None)
    return [np.array(stroke[:2], np.float32).T for stroke in drawing]


def in_rows(drawing: Any) -> Any:
    """Strokes as rows ``[[x, ...], [y, ...]]``, where they may be given as points.

    Lists of two or three numbers each are points, unless there are just two or three of them: these
    are as the other strokes of the drawing are, and rows if none of them says.

    Raises:
        ValueError: If some strokes are points and others rows, or rows cannot be x, y and times.

    >>> in_rows([[[1, 5], [2, 6], [3, 7], [4, 8]], [[1, 2], [3, 4]]])
    [[(1, 2, 3, 4), (5, 6, 7, 8)], [(1, 3), (2, 4)]]
    >>> in_rows([[[1, 5], [2, 6]]]), in_rows([[[1, 2, 3, 4], [5, 6, 7, 8], [0, 9, 20, 30]]])
    ([[[1, 5], [2, 6]]], [[[1, 2, 3, 4], [5, 6, 7, 8], [0, 9, 20, 30]]])
    """
    if not isinstance(drawing, list):
        return drawing
    forms = [_form(stroke) for stroke in drawing]
    for index, (form, stroke) in enumerate(zip(forms, drawing, strict=True)):
        widths = [len(row) for row in stroke] if form == "rows" else []
        if widths[2:] and (len(widths) > _MOST_ROWS or len({*widths}) > 1):
            shown = f"{len(widths)} rows of {', '.join(map(str, widths[:6]))} numbers"
            raise ValueError(f"stroke {index}: expected rows x, y and times, got {shown:.60}")
    if "points" not in forms:
        return drawing
    if "rows" in forms:
        raise ValueError(
            f"stroke {forms.index('points')} holds points [x, y], and stroke "
            f"{forms.index('rows')} does not: expected one form, [[x, ...], [y, ...]]"
        )
    return [[*zip(*stroke, strict=True)] for stroke in drawing]


def _form(stroke: Any) -> str:
    """Whether a stroke is given by points or rows; empty if it may be either."""
    if not isinstance(stroke, list) or not all(isinstance(row, list) for row in stroke):
        return ""  # it is neither
    widths = {len(row) for row in stroke}
    if widths not in ({2}, {3}):
        return "rows"
    return "" if len(stroke) in (2, 3) else "points"


def read_line(path: Path) -> bytes:
    """The line that ``x.ndjson#n`` names.

    Raises:
        UnreadableImageError: If the file cannot be read, or has no such line.
    """
    file, line = split_line(path)
    if line is None:
        raise unreadable(path, "no line is named", "a name as cat.ndjson#0", "name a line")
    offsets, count = _lines(file)
    if line >= count:
        raise unreadable(path, f"it has {count} lines", f"a line of 0 to {count - 1}", "list anew")
    with file.open("rb") as source:
        source.seek(offsets[line // _STEP])
        for _ in range(line % _STEP):
            source.readline()
        return source.readline()


def _lines(path: Path) -> tuple[list[int], int]:
    """Offsets of every _STEP-th line, and the number of lines."""
    try:
        state = path.stat()
        return _index(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        if is_systemic(error):
            raise
        expected = "an ndjson file of drawings"
        raise unreadable(path, error.strerror or str(error), expected, "restore it") from error


@lru_cache(maxsize=1024)
def _index(path: Path, size: int, modified: int) -> tuple[list[int], int]:
    """Scan a file once a process; size and time of change belong to the key."""
    offsets, line, offset, last = [0], 0, 0, -1
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
            if filled := len(chunk.rstrip()):
                last = line + int(np.searchsorted(ends, filled))
            offsets += (offset + 1 + ends[(-line - 1) % _STEP :: _STEP]).tolist()
            line, offset = line + len(ends), offset + len(chunk)
    return offsets, last + 1
