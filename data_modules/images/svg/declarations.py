"""Declarations of styles: which properties are read, and how they are written."""

import re
from typing import NamedTuple
from xml.etree.ElementTree import Element

from data_modules.images.svg.values import is_paint

_SVG = "{http://www.w3.org/2000/svg}"
INHERITED = frozenset(
    "color fill fill-opacity fill-rule clip-rule stroke stroke-dasharray stroke-linecap "
    "stroke-opacity stroke-width visibility".split()
)
"""Properties that are read and that children take over."""

_OWN = (
    "clip-path display filter mask mask-image mask-type mix-blend-mode opacity overflow transform "
    "transform-origin background background-color width height x y cx cy r rx ry d stop-color "
    "stop-opacity"
)
PROPERTIES = INHERITED | frozenset(_OWN.split())
"""Properties that decide what is seen; all others are passed over."""


class Declaration(NamedTuple):
    """One property of a rule or a style attribute."""

    name: str
    value: str
    important: bool


def tag(element: Element) -> str:
    """Name of an SVG element without its name space."""
    return element.tag.removeprefix(_SVG) if isinstance(element.tag, str) else ""


def declarations(text: str) -> list[Declaration]:
    """Valid declarations of the properties that are read, names in lower case.

    >>> declarations("STROKE : Red ! important; font: 9px x; fill: nonsense")
    [Declaration(name='stroke', value='Red', important=True)]
    """
    found = []
    for part in split(without_comments(text), ";") if text else ():
        name, _, value = part.partition(":")
        name, value = name.strip(), value.strip()
        if not name.startswith("--"):
            name = name.lower().removeprefix("-webkit-")
        start, mark, end = value.rpartition("!")
        important = bool(mark) and end.strip().lower() == "important"
        value = start.strip() if important else value
        if value and (name.startswith("--") or name in PROPERTIES) and is_valid(name, value):
            found.append(Declaration(name, value, important))
    return found


def is_valid(name: str, value: str) -> bool:
    """Whether a browser takes a declaration; it passes over a color that is none."""
    if name not in ("fill", "stroke", "color") or "var(" in value.lower():
        return True
    keywords = ("inherit", "initial", "unset", "revert", "revert-layer")
    return value.strip().lower() in keywords or is_paint(value)


def without_comments(text: str) -> str:
    """A sheet without its comments."""
    if "/*" not in text:
        return text
    first, *rest = text.split("/*")
    return first + " ".join(part.partition("*/")[2] for part in rest)


def split(text: str, mark: str) -> list[str]:
    """Split where a mark stands outside of brackets and quotes, in one pass."""
    if not re.search(r"[(\"'\[]", text):
        return text.split(mark)
    parts, start, depth, quote = [], 0, 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth = max(depth - 1, 0)
        elif letter == mark and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
