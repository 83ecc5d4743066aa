"""Strokes of SVG files: what is seen of them, sampled as points."""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from xml.etree import ElementTree

import numpy as np

from data_modules.images.render import check_drawing

FAINTEST = 0.05
"""Least contrast of ink, 0 to 1: a line that differs less from the paper is not seen."""

_FLATNESS = 0.001
"""Largest distance of a sampled curve from the true one, as a share of the drawing's size."""

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_SHAPES = frozenset({"path", "circle", "ellipse", "line", "polyline", "polygon", "rect"})
_GROUPS = frozenset({"svg", "g", "a", "switch", "use", "defs"})
_WHITE = (255.0, 255.0, 255.0)
# What the library's simple reader of style sheets stumbles over.
_AT_RULE = re.compile(r"@[^{;]*(?:;|\{(?:[^{}]|\{[^{}]*\})*\})")
_IMPORTANT = re.compile(r"\s*!\s*important", re.IGNORECASE)
_INHERIT = re.compile(r"[\w-]+\s*:\s*inherit\s*(?:;|$|(?=\}))", re.IGNORECASE)


def svg_strokes(data: bytes) -> list[np.ndarray]:
    """Strokes that are seen in an SVG file, float32 arrays of points.

    Ink is what is stroked; a file without strokes gives the outlines of what is filled. What is
    hidden, has a width of 0, is used as a mask, marker, clip path or pattern alone, or is nearly as
    the paper (``FAINTEST``: transparent, white on white) is no ink. The paper is white, or as a
    rectangle behind all strokes is filled.

    Raises:
        ValueError: If nothing is seen, or it is no SVG file.
    """
    import svgelements as svg  # not for --help

    image = svg.SVG.parse(io.BytesIO(_rendered(data)))
    shapes = [*_shown(image, 1.0)] if isinstance(image, svg.SVG) else []
    stroked = [s for s in shapes if s.paint("stroke") and s.shape.stroke_width != 0]
    paper = _paper(shapes, stroked)
    inked = (
        [s for s in stroked if s.differs("stroke", paper)]
        or [s for s in stroked if s.differs("stroke", _WHITE)]
        or [s for s in shapes if s.differs("fill", paper)]
    )
    strokes = [_beziers(part) for s in inked for part in svg.Path(s.shape).reify().as_subpaths()]
    strokes = [stroke for stroke in strokes if stroke]
    if not strokes:
        raise ValueError("it draws no stroke that can be seen")
    controls = np.concatenate([curve for stroke in strokes for curve in stroke])
    tolerance = _FLATNESS * float(np.ptp(controls, axis=0).max())
    sampled = [np.concatenate([_sample(curve, tolerance) for curve in s]) for s in strokes]
    check_drawing([points.T.tolist() for points in sampled], extent=None)
    return [points.astype(np.float32) for points in sampled]


@dataclass(frozen=True)
class _Shown:
    """A shape that is not hidden.

    Attributes:
        shape: As the library made it.
        opacity: Its own times that of its groups.
    """

    shape: Any
    opacity: float

    def paint(self, what: str) -> tuple[tuple[float, ...], float] | None:
        """Color and opacity of its stroke or fill; None where it has none."""
        import svgelements as svg

        value = self.shape.values.get(what) or ""
        if value.strip().lower() == "currentcolor":
            value = self.shape.values.get("color") or ""
        color = svg.Color(_with_commas(value.strip()) or "none")
        if color.value is None:
            return None
        alpha = color.opacity * _number(self.shape.values.get(f"{what}-opacity"))
        return (color.red, color.green, color.blue), alpha * self.opacity

    def differs(self, what: str, paper: tuple[float, ...]) -> bool:
        """Whether its stroke or fill is seen on a paper of this color."""
        if (paint := self.paint(what)) is None:
            return False
        color, alpha = paint
        contrast = max(abs(c - p) for c, p in zip(color, paper, strict=True)) / 255
        return alpha * contrast >= FAINTEST


def _shown(element: Any, opacity: float) -> Iterator[_Shown]:
    """Shapes that are not hidden. Visibility is inherited, and the library has resolved it."""
    import svgelements as svg

    own = element.values.get("attributes", {})
    opacity *= _number(own.get("opacity"))
    if isinstance(element, (svg.Group, svg.Use)):
        for child in element:
            yield from _shown(child, opacity)
    elif isinstance(element, svg.Shape):
        hidden = str(element.values.get("visibility")).lower() in ("hidden", "collapse")
        if not hidden:
            yield _Shown(element, opacity)


def _paper(shapes: list[_Shown], stroked: list[_Shown]) -> tuple[float, ...]:
    """Color of the last filled rectangle that lies behind all strokes; white without one."""
    import svgelements as svg

    paper: tuple[float, ...] = _WHITE
    pages = [s for s in shapes if isinstance(s.shape, svg.Rect) and s.differs("fill", _WHITE)]
    if not pages or not stroked:
        return paper
    found = [box for s in stroked if (box := s.shape.bbox(with_stroke=False)) is not None]
    for page in pages:
        left, top, right, bottom = page.shape.bbox()
        if all(left <= a and top <= b and c <= right and d <= bottom for a, b, c, d in found):
            color, alpha = page.paint("fill") or (_WHITE, 0.0)
            paper = tuple(alpha * c + (1 - alpha) * p for c, p in zip(color, paper, strict=True))
    return paper


def _with_commas(color: str) -> str:
    """``rgb(0 0 0 / 50%)`` as the library reads it: ``rgb(0,0,0,0.5)``."""
    name, bracket, rest = color.partition("(")
    if not bracket:
        return color
    parts = re.split(r"[\s,/]+", rest.rstrip(") ").strip())
    return f"{name}({','.join([*parts[:3], *(str(_number(p)) for p in parts[3:])])})"


def _number(text: str | None) -> float:
    """An opacity, 0 to 1: a number or a percentage; 1 for what is none."""
    try:
        value = float((text or "1").strip().removesuffix("%"))
    except ValueError:
        return 1.0
    return min(max(value / 100 if text and "%" in text else value, 0.0), 1.0)


def _rendered(data: bytes) -> bytes:
    """The file with only what a viewer draws where the library would draw all that it knows."""
    root = ElementTree.fromstring(data)
    elements = list(root.iter())
    named = {e.get("id"): e for e in elements if e.get("id")}
    sheets = [e for e in elements if _name(e) == "style"]
    size = _size(root)
    for element in elements:
        children = [child for child in element if _name(child) != "style"]
        if _name(element) == "switch":
            children = [child for child in children if _is_chosen(child)][:1]
        element[:] = [c if _name(c) in _SHAPES | _GROUPS else _unseen(c) for c in children]
        for key in [k for k, v in element.attrib.items() if v.strip().lower() == "inherit"]:
            del element.attrib[key]
        if "style" in element.attrib:
            element.set("style", _plain(element.attrib["style"]))
        if _name(element) == "use":
            link = element.get("href") or element.get(_LINK) or ""
            _fit(element, named.get(link.strip().removeprefix("#")), size)
    for sheet in sheets:
        sheet.text = _plain(_AT_RULE.sub("", "".join(sheet.itertext())))
        sheet.attrib.pop("style", None)
    root[:0] = sheets  # a sheet holds for what stands above it, too
    for element in elements:
        if element is not root and _name(element) in ("a", "switch", "symbol"):
            element.tag = f"{_SVG}g"
    return ElementTree.tostring(root)


def _name(element: ElementTree.Element) -> str:
    return element.tag.removeprefix(_SVG)


def _plain(style: str) -> str:
    return _INHERIT.sub("", _IMPORTANT.sub("", style))


def _unseen(element: ElementTree.Element) -> ElementTree.Element:
    """A symbol, mask, marker and so on in a <defs>, where a clone still finds it."""
    holder = ElementTree.Element(f"{_SVG}defs")
    holder.append(element)
    return holder


def _is_chosen(child: ElementTree.Element) -> bool:
    """Whether a <switch> takes a child, for a reader of English without extensions."""
    languages = re.split(r"[\s,]+", child.get("systemLanguage", "en").strip().lower())
    return (
        _name(child) in _SHAPES | _GROUPS
        and child.get("requiredExtensions") is None
        and any(language.partition("-")[0] == "en" for language in languages)
    )


def _size(root: ElementTree.Element) -> list[str]:
    """Width and height that lengths in per cent refer to."""
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    return box[2:] if len(box) == 4 else [root.get(side, "1000") for side in ("width", "height")]


def _fit(use: ElementTree.Element, symbol: ElementTree.Element | None, size: list[str]) -> None:
    """Scale a clone of a symbol that has a view box, as the library does not."""
    if symbol is None or _name(symbol) != "symbol" or not symbol.get("viewBox"):
        return
    import svgelements as svg

    whole = [svg.Length(side).value(relative_length=1000) for side in size]
    given = {"x": "0", "y": "0", "width": "100%", "height": "100%"}
    x, y, width, height = (
        svg.Length(use.attrib.pop(key, default)).value(relative_length=whole[at % 2])
        for at, (key, default) in enumerate(given.items())
    )
    box = svg.Viewbox(symbol.get("viewBox"), symbol.get("preserveAspectRatio"))
    fit = svg.Viewbox.viewbox_transform(
        x, y, width, height, box.x, box.y, box.width, box.height, box.preserve_aspect_ratio
    )
    use.set("transform", f"{use.get('transform', '')} {fit}".strip())


def _beziers(part: Any) -> list[np.ndarray]:
    """Control points of each segment of a path; a segment begins where the one before ends."""
    import svgelements as svg

    names = ("start", "control", "control1", "control2", "end")  # what a segment has of them
    beziers = []
    # Arc by arc: approximate_arcs_with_cubics takes time with the square of their number.
    curves = (s.as_cubic_curves() if isinstance(s, svg.Arc) else (s,) for s in svg.Path(part))
    for segment in chain.from_iterable(curves):
        found = [getattr(segment, name, None) for name in names]
        points = [tuple(point) for point in found if point is not None]
        if points:
            beziers.append(np.array(points[-1:] if isinstance(segment, svg.Move) else points))
    return beziers


def _sample(control: np.ndarray, tolerance: float) -> np.ndarray:
    """Points along a Bezier curve after its start, so close that chords look like the curve."""
    degree = len(control) - 1
    if degree < 1:
        return control  # where the pen goes down
    bend = float(np.abs(np.diff(control, 2, axis=0)).max(initial=0.0))
    # A curve of degree d stays within d (d - 1) / 8 n^2 of n chords, times its second difference.
    parts = math.sqrt(degree * (degree - 1) / 8 * bend / tolerance) if bend else 1
    where = np.linspace(0, 1, max(math.ceil(parts), 1) + 1)[1:, None, None]
    points = np.broadcast_to(control, (len(where), *control.shape))
    for _ in range(degree):  # de Casteljau
        points = (1 - where) * points[:, :-1] + where * points[:, 1:]
    return points[:, 0]
