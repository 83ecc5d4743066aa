"""What clip paths, masks and filters leave of a drawing, where that is simple and exact."""

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import numpy as np

from data_modules.images.svg.css import DEEPEST, TOO_DEEP
from data_modules.images.svg.curves import sample
from data_modules.images.svg.declarations import tag
from data_modules.images.svg.paint import Paint
from data_modules.images.svg.regions import Polygon, box, is_convex
from data_modules.images.svg.shape import Shape, State, numbers, transformed
from data_modules.images.svg.style import PLAIN, Style, style_of, target_of
from data_modules.images.svg.values import FAINTEST
from data_modules.images.svg.viewport import side

if TYPE_CHECKING:
    from data_modules.images.svg.tree import Tree

_PIXELS = frozenset({"image", "text", "foreignObject"})  # that no outline tells
_OPAQUE = 0.99
_FLATNESS = 1e-4


def clipped(tree: "Tree", style: Style, state: State) -> State | None:
    """What holds within an element that may be clipped and masked; None where it hides all."""
    if style.word("filter").startswith("url("):
        target = tree.named.get(target_of(style, "filter") or "")
        if target is not None and tag(target) == "filter" and not len(target):
            return None
    clip = _clip(tree, style, state) if style.word("clip-path") not in ("", "none") else state
    for name in ("mask", "mask-image"):
        if clip is not None and style.word(name) not in ("", "none"):
            clip = _mask(tree, style, clip, name)
    return clip


def _clip(tree: "Tree", style: Style, state: State) -> State | None:
    problem = f"clip-path '{style.text('clip-path'):.40}'"
    name = target_of(style, "clip-path")
    target = tree.named.get(name or "")
    if name is None:
        return _with_problem(state, problem)
    if target is None or tag(target) != "clipPath" or target in state.path:
        return state  # a browser passes over it
    if _is_unclear(target, "clipPathUnits"):
        return _with_problem(state, problem)
    found = _content(tree, target, state)
    if not found:
        return None
    return _within(state, found, problem)


def _mask(tree: "Tree", style: Style, state: State, name: str) -> State | None:
    problem = f"{name} '{style.text(name):.40}'"
    target = tree.named.get(target_of(style, name) or "")
    if target is None or tag(target) != "mask" or target in state.path:
        return _with_problem(state, problem)
    if any(tag(element) in _PIXELS for element in target.iter()):
        return _with_problem(state, problem)
    own = style_of(tree.declared[target], PLAIN)
    by_opacity = own.word("mask-type") == "alpha"
    found = _content(tree, target, state)
    lights = [_light(paint, by_opacity) for s in found for paint in (*s.stroke, *s.fill)]
    if max(lights, default=0.0) < FAINTEST:
        return None
    if _is_unclear(target, "maskContentUnits") or min(lights) < _OPAQUE or len(lights) > 1:
        return _with_problem(state, problem)
    inner = _within(state, [s for s in found if s.fill], problem)
    if target.get("maskUnits") == "userSpaceOnUse":
        inner = replace(inner, regions=(*inner.regions, _mask_area(own, state)))
    return inner


def _mask_area(style: Style, state: State) -> Polygon:
    wide, high = state.viewport
    x, y = side(style.own, "x", wide, "-10%"), side(style.own, "y", high, "-10%")
    size = side(style.own, "width", wide, "120%"), side(style.own, "height", high, "120%")
    return transformed(box(x, y, *size), state.matrix)


def _light(paint: Paint, by_opacity: bool) -> float:
    """How much of what is masked a color leaves, 0 to 1."""
    (red, green, blue), alpha = paint
    return alpha * (1.0 if by_opacity else (0.2125 * red + 0.7154 * green + 0.0721 * blue) / 255)


def _is_unclear(target: Element, units: str) -> bool:
    return target.get(units) == "objectBoundingBox" or any(
        tag(element) in _PIXELS for element in target.iter()
    )


def _content(tree: "Tree", target: Element, state: State) -> list[Shape]:
    """Shapes of a clip path or mask; none where its own clip path hides them."""
    if len(state.path) > DEEPEST:
        raise ValueError(TOO_DEEP)
    key = (target, numbers(state.matrix), state.viewport)
    if key not in tree.contents:
        bare = replace(state, style=PLAIN, regions=(), problem="", opacity=1.0, is_clone=True)
        tree.take_account(target, bare)
        found = tree.contents[key] = []
        inner = tree.entered(target, style_of(tree.declared[target], PLAIN), bare)
        if inner is not None:
            tree.children(target, inner, found)
    return tree.contents[key]


def _within(state: State, shapes: list[Shape], problem: str) -> State:
    """What holds within the one convex shape of a clip path; a problem where there are others."""
    if len(shapes) > 1 or len(shapes[0].curves) > 1 or shapes[0].problem:
        return _with_problem(state, problem)
    corners = np.concatenate(shapes[0].curves[0])
    polygon = sample(shapes[0].curves[0], _FLATNESS * float(np.ptp(corners, axis=0).max()))
    if not is_convex(polygon):
        return _with_problem(state, problem)
    return replace(state, regions=(*state.regions, *shapes[0].regions, polygon))


def _with_problem(state: State, problem: str) -> State:
    return replace(state, problem=state.problem or problem)
