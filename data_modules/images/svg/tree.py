"""Walk through an SVG file as a browser does: which shapes are drawn, where and how."""

import re
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from data_modules.images.svg.clips import clipped
from data_modules.images.svg.css import DEEPEST, TOO_DEEP, cascade
from data_modules.images.svg.curves import SHAPES, shape_curves
from data_modules.images.svg.declarations import tag
from data_modules.images.svg.paint import Paint, paints, stop_paint
from data_modules.images.svg.regions import Polygon, box
from data_modules.images.svg.shape import Shape, State, numbers, transformed
from data_modules.images.svg.style import (
    PLAIN,
    Style,
    filter_problem,
    has_ink,
    stroke_width,
    style_of,
)
from data_modules.images.svg.viewport import fit, root_size, side, view_box

_MOST_ELEMENTS = 100_000
_MOST_CLONES, _MOST_CLONED = 10_000, 500_000
"""Most elements and characters of paths in clones, two seconds of work: a file of 600 bytes can
hold millions."""

_LINK = "{http://www.w3.org/1999/xlink}href"
_GRADIENTS = frozenset({"linearGradient", "radialGradient"})
_GROUPS = frozenset({"svg", "g", "a", "switch", "use"})


class Tree:
    """The elements of a file.

    Args:
        root: The <svg>.
    """

    def __init__(self, root: Element) -> None:
        self.root = root
        self.declared = cascade(root)
        self.named: dict[str, Element] = {}
        for element in root.iter():
            self.named.setdefault(element.get("id", ""), element)
        self.contents: dict[tuple[Any, ...], list[Shape]] = {}  # of clip paths, by their place
        self._servers: dict[str, list[Paint] | None] = {}
        self._count = self._clones = self._cloned = 0

    def shapes(self) -> tuple[list[Shape], Polygon | None]:
        """Shapes in the order in which they are painted, and the page; None where it has no size.

        Raises:
            ValueError: If there are too many elements, or a value cannot be read.
        """
        import svgelements as svg  # not for --help

        style = style_of(self.declared[self.root], PLAIN)
        size = root_size(style)
        frame = view_box(style.own)
        if size is None:
            return [], None
        known = None not in size
        wide, high = (1000.0 if one is None else one for one in size)
        area = box(0, 0, wide, high) if known else None
        state = State(PLAIN, svg.Matrix(), (wide, high), regions=() if area is None else (area,))
        entered = self.entered(self.root, style, state)
        found: list[Shape] = []
        if entered is not None and style.word("display") != "none":
            matrix = svg.Matrix(fit((0, 0, wide, high), style.own)) * entered.matrix
            viewport = frame[2:] if frame else (wide, high)
            inner = replace(entered, matrix=matrix, viewport=viewport)
            self.children(self.root, inner, found)
        return found, area

    def children(self, element: Element, state: State, found: list[Shape]) -> None:
        """Append the shapes in an element."""
        if len(state.path) > DEEPEST:
            raise ValueError(TOO_DEEP)
        for child in element:
            self._visit(child, state, found)

    def server(self, name: str) -> list[Paint] | None:
        """Colors of a gradient or pattern; None where there is none of that id."""
        if name not in self._servers:
            self._servers[name] = self._server_paints(name)
        return self._servers[name]

    def _server_paints(self, name: str) -> list[Paint] | None:
        target, seen = self.named.get(name), set()
        if target is not None and tag(target) == "pattern":  # seen, if there is something in it
            return [((0.0, 0.0, 0.0), 1.0)] if len(target) else []
        if target is None or tag(target) not in _GRADIENTS:
            return None
        while target is not None and target not in seen:  # stops may be those of another gradient
            around = style_of(self.declared[target], PLAIN)
            stops = [stop for stop in target if tag(stop) == "stop"]
            if stops:
                shown = {stop_paint(style_of(self.declared[stop], around)) for stop in stops}
                return sorted(shown)
            seen.add(target)
            target = self.named.get(_link(target).removeprefix("#"))
        return []

    def _visit(self, element: Element, state: State, found: list[Shape], size: Any = None) -> None:
        name = tag(element)
        is_symbol = name == "symbol" and size is not None
        if not (name in SHAPES or name in _GROUPS or is_symbol) or not _is_chosen(element):
            return
        self.take_account(element, state)
        style = style_of(self.declared[element], state.style)
        if style.word("display") == "none" and not is_symbol:
            return
        entered = self.entered(element, style, state)
        if entered is None:
            return
        if name in SHAPES:
            self._shape(name, style, entered, found)
        elif name == "use":
            self._clone(element, style, entered, found)
        elif name == "switch":
            first = next((child for child in element if _may_be_chosen(child)), None)
            if first is not None:
                self._visit(first, entered, found)
        elif name in ("svg", "symbol"):
            inner = _framed(style, entered, size or {})
            if inner is not None:
                self.children(element, inner, found)
        else:
            self.children(element, entered, found)

    def take_account(self, element: Element, state: State) -> None:
        """Refuse what grows by clones; they may hold clones."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise ValueError(f"it has more than {_MOST_ELEMENTS:,} elements; simplify the drawing")
        if state.is_clone:
            self._clones += 1
            self._cloned += len(element.get("d", "")) + len(element.get("points", ""))
        if self._clones > _MOST_CLONES or self._cloned > _MOST_CLONED:
            raise ValueError(
                f"its clones (<use>) and clip paths have more than {_MOST_CLONES:,} elements or "
                f"{_MOST_CLONED:,} characters of paths; export it as plain SVG or PNG"
            )

    def entered(self, element: Element, style: Style, state: State) -> State | None:
        """What holds within an element; None where nothing of it can be seen."""
        matrix = _matrix(style) * state.matrix
        opacity = state.opacity * style.opacity()
        if not all(np.isfinite([*numbers(matrix)])):
            raise ValueError(f"its transform '{style.text('transform'):.40}' cannot be read")
        if matrix.a * matrix.d == matrix.b * matrix.c or opacity == 0:
            return None
        problem = state.problem or style.problem or filter_problem(style)
        path = (*state.path, element)
        inner = replace(
            state, style=style, matrix=matrix, opacity=opacity, problem=problem, path=path
        )
        return clipped(self, style, inner)

    def _shape(self, name: str, style: Style, state: State, found: list[Shape]) -> None:
        if style.word("visibility") in ("hidden", "collapse"):
            return
        diagonal = float(np.hypot(*state.viewport)) / 2**0.5
        stroked = style.word("stroke") not in ("", "none") and has_ink(style, diagonal)
        stroke = paints(style, "stroke", state.opacity, self.server) if stroked else []
        fill = paints(style, "fill", state.opacity, self.server) if name != "line" else []
        matrix = state.matrix
        linear = np.array([(matrix.a, matrix.b), (matrix.c, matrix.d)], float)
        curves = [
            [curve @ linear + (matrix.e, matrix.f) for curve in stroke_curves]
            for stroke_curves in shape_curves(name, style.own, state.viewport)
        ]
        scale = abs(float(np.linalg.det(linear))) ** 0.5
        reach = stroke_width(style, diagonal) * scale / 2 if stroke else 0.0
        by_winding = style.word("fill-rule") != "evenodd"
        if curves:
            shape = Shape(curves, stroke, fill, reach, state.regions, by_winding, state.problem)
            found.append(shape)

    def _clone(self, element: Element, style: Style, state: State, found: list[Shape]) -> None:
        """Draw what a <use> refers to; nothing where it is missing or holds the <use> itself."""
        import svgelements as svg

        link = _link(element)
        if link.partition("#")[0]:
            raise ValueError(f"it clones '{link:.40}' of another file; export it as plain SVG")
        target = self.named.get(link.removeprefix("#"))
        if target is None or not link or target in state.path:
            return
        wide, high = state.viewport
        x, y = side(style.own, "x", wide, "0"), side(style.own, "y", high, "0")
        inner = replace(state, matrix=svg.Matrix.translate(x, y) * state.matrix, is_clone=True)
        if len(state.path) > DEEPEST:
            raise ValueError(TOO_DEEP)
        size = {key: style.own[key] for key in ("width", "height") if style.own.get(key)}
        self._visit(target, inner, found, size)


def _framed(style: Style, state: State, size: dict[str, str]) -> State | None:
    """What holds within a nested <svg> or a <symbol>; None where it has no size."""
    import svgelements as svg

    values = {**style.own, **size}
    x, wide = (
        side(values, key, state.viewport[0], default)
        for key, default in (("x", "0"), ("width", "100%"))
    )
    y, high = (
        side(values, key, state.viewport[1], default)
        for key, default in (("y", "0"), ("height", "100%"))
    )
    frame = view_box(style.own)
    if wide <= 0 or high <= 0 or (frame and min(frame[2:]) <= 0):
        return None
    regions = state.regions
    if style.word("overflow") not in ("visible", "auto"):
        corners = transformed(box(x, y, wide, high), state.matrix)
        regions = (*regions, corners)
    matrix = svg.Matrix(fit((x, y, wide, high), style.own)) * state.matrix
    viewport = frame[2:] if frame else (wide, high)
    return replace(state, matrix=matrix, viewport=viewport, regions=regions)


def _matrix(style: Style) -> Any:
    import svgelements as svg

    text = style.text("transform")
    return svg.Matrix(text) if text and text.lower() != "none" else svg.Matrix()


def _link(element: Element) -> str:
    return (element.get("href") or element.get(_LINK) or "").strip()


def _is_chosen(child: Element) -> bool:
    """Whether an element is for a reader of English without extensions."""
    languages = re.split(r"[\s,]+", child.get("systemLanguage", "en").strip().lower())
    return child.get("requiredExtensions") is None and any(
        language.partition("-")[0] == "en" for language in languages
    )


def _may_be_chosen(child: Element) -> bool:
    return (tag(child) in SHAPES or tag(child) in _GROUPS) and _is_chosen(child)
