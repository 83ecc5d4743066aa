"""Sizes of pages, nested pages and symbols, and how a view box fits into them."""

import re
from collections.abc import Mapping

from data_modules.images.svg.style import Style
from data_modules.images.svg.values import FontUnitError, length

Box = tuple[float, float, float, float]


def view_box(values: Mapping[str, str]) -> Box | None:
    """The view box of an element; None where it has none."""
    try:
        x, y, wide, high = map(float, re.split(r"[\s,]+", values.get("viewBox", "").strip()))
    except ValueError:
        return None
    return x, y, wide, high


def side(values: Mapping[str, str], name: str, whole: float, default: str) -> float:
    """A position or size of an element in its own units."""
    text = values.get(name, "").strip().lower()
    return length(default if text in ("", "auto") else text, whole, name)


def root_size(style: Style) -> tuple[float | None, float | None] | None:
    """Width and height of a page in pixels, None where it does not say; None for an empty page.

    A width in per cent or in units of a font depends on where the page is shown; its view box tells
    the form then, which is what matters.
    """
    frame = view_box(style.own)
    if frame and min(frame[2:]) <= 0:
        return None
    wide, high = (_root_side(style, name, frame is not None) for name in ("width", "height"))
    if 0 in (wide, high):
        return None
    if frame is None:
        return wide, high
    form = frame[2] / frame[3]
    if wide is None and high is None:
        return frame[2:]
    return (high * form if high and wide is None else wide), (
        wide / form if wide and high is None else high
    )


def _root_side(style: Style, name: str, has_frame: bool) -> float | None:
    text = style.word(name)
    if text in ("", "auto") or text.endswith("%"):
        return None if text.strip("0.") != "%" else 0.0
    try:
        found = length(text, 0.0, name)
    except FontUnitError:
        if has_frame:
            return None
        raise
    return found if found >= 0 else None


def fit(place: Box, values: Mapping[str, str]) -> str:
    """Transform from the view box of an element to its place."""
    import svgelements as svg  # not for --help

    x, y, wide, high = place
    frame = view_box(values)
    if frame is None:
        return f"translate({x}, {y})"
    aspect = " ".join(values.get("preserveAspectRatio", "").split()) or None
    return str(svg.Viewbox.viewbox_transform(x, y, wide, high, *frame, aspect))
