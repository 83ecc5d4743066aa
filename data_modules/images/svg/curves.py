"""Curves of SVG shapes: control points as the file has them, and points along them."""

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from data_modules.images.svg.values import length

Curves = list[list[np.ndarray]]
"""One list a stroke, of the control points of its Bezier curves, arrays (n, 2); one of a curve
begins where the one before ends."""

SHAPES = frozenset({"path", "circle", "ellipse", "line", "polyline", "polygon", "rect"})

_LENGTHS = {
    "rect": ("x", "y", "width", "height", "rx", "ry"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "line": ("x1", "y1", "x2", "y2"),
}
_NEEDED = {"rect": ("width", "height"), "circle": ("rx",), "ellipse": ("rx", "ry"), "line": ()}


def shape_curves(name: str, values: Mapping[str, str], viewport: tuple[float, float]) -> Curves:
    """Curves of a shape in its own coordinates; none where it has no size.

    Args:
        name: Its tag.
        values: Attributes.
        viewport: Width and height that percentages refer to.
    """
    import svgelements as svg  # not for --help

    if name == "path":
        data = values.get("d", "").strip()
        made = svg.Path(data[5:].strip("()\"' ") if data.startswith("path(") else data)
    elif name in ("polyline", "polygon"):
        made = svg.Path(getattr(svg, name.capitalize())(values.get("points", "")))
    else:
        sizes = _sizes(name, values, viewport)
        if any(sizes.get(key, 0) <= 0 for key in _NEEDED[name]):
            return []
        kind = {"rect": svg.Rect, "line": svg.SimpleLine}.get(name, svg.Ellipse)
        made = svg.Path(kind(**sizes))
    strokes = [_beziers(part) for part in made.as_subpaths()]
    return [stroke for stroke in strokes if stroke]


def _sizes(name: str, values: Mapping[str, str], viewport: tuple[float, float]) -> dict[str, float]:
    wide, high = viewport
    whole = {"x": wide, "y": high, "w": wide, "h": high, "r": math.hypot(wide, high) / math.sqrt(2)}
    sizes = {}
    for key in _LENGTHS[name]:
        if (text := values.get(key, "auto").strip()) not in ("auto", ""):
            axis = {"rx": "x", "ry": "y", "cx": "x", "cy": "y"}.get(key, key[0])
            sizes[key] = length(text, whole[axis], key)
    if name == "circle" and "r" in sizes:
        sizes["rx"] = sizes["ry"] = sizes.pop("r")
    return sizes


def _beziers(part: Any) -> list[np.ndarray]:
    """Control points of each segment of a path."""
    import svgelements as svg

    names = ("start", "control", "control1", "control2", "end")  # what a segment has of them
    beziers = []
    # Arc by arc: approximate_arcs_with_cubics takes time with the square of their number.
    curves = (s.as_cubic_curves() if isinstance(s, svg.Arc) else (s,) for s in part)
    for segment in chain.from_iterable(curves):
        found = [getattr(segment, name, None) for name in names]
        points = [tuple(point) for point in found if point is not None]
        if points:
            beziers.append(np.array(points[-1:] if isinstance(segment, svg.Move) else points))
    return beziers


def sample(stroke: list[np.ndarray], tolerance: float) -> np.ndarray:
    """Points along a stroke, so close that chords look like the curves."""
    return np.concatenate([_sample(curve, tolerance) for curve in stroke])


def _sample(control: np.ndarray, tolerance: float) -> np.ndarray:
    """Points along a Bezier curve after its start."""
    degree = len(control) - 1
    if degree < 2:
        return control[degree:]  # where the pen goes down, or the end of a line
    bend = float(np.abs(np.diff(control, 2, axis=0)).max(initial=0.0))
    # A curve of degree d stays within d (d - 1) / 8 n^2 of n chords, times its second difference.
    parts = math.sqrt(degree * (degree - 1) / 8 * bend / tolerance) if bend else 1
    where = np.linspace(0, 1, max(math.ceil(parts), 1) + 1)[1:, None, None]
    points = np.broadcast_to(control, (len(where), *control.shape))
    for _ in range(degree):  # de Casteljau
        points = (1 - where) * points[:, :-1] + where * points[:, 1:]
    return points[:, 0]
