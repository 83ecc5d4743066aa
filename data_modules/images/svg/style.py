"""Values of properties of one element, as it declares and inherits them."""

from collections.abc import Mapping
from typing import NamedTuple

from data_modules.images.svg.declarations import INHERITED, PROPERTIES
from data_modules.images.svg.values import (
    Color,
    color,
    computed,
    is_paint,
    length,
    reference,
    share,
)

_LONGEST = 10_000  # characters of a value with its variables put in
_MOST_VARIABLES = 32


class Style(NamedTuple):
    """Values of an element.

    Attributes:
        inherited: Properties that its children take over, with variables.
        own: Other properties and attributes.
        problem: What cannot be read of them; empty if nothing.
    """

    inherited: dict[str, str]
    own: dict[str, str]
    problem: str = ""

    def text(self, name: str) -> str:
        """A value as the file has it; empty where there is none."""
        return (self.inherited if name in INHERITED else self.own).get(name, "").strip()

    def word(self, name: str) -> str:
        """A value in lower case, as keywords are compared."""
        return self.text(name).lower()

    def opacity(self) -> float:
        """Opacity by the property and by a filter that does nothing else."""
        found = share(self.word("opacity"))
        name, bracket, value = self.word("filter").partition("(")
        return found * share(value.rstrip(") ")) if name == "opacity" and bracket else found

    def background(self) -> Color | None:
        """Opaque color behind a page; None where it has none."""
        for name in ("background-color", "background"):
            for word in self.word(name).replace(", ", ",").split():
                found = color(word)
                if found and found[1] > 0:
                    return found[0]
        return None


PLAIN = Style({"fill": "black", "stroke": "none"}, {})
"""Values that hold where nothing is declared."""


def style_of(declared: Mapping[str, str], parent: Style) -> Style:
    """Values of an element.

    Args:
        declared: Its attributes and properties, see :func:`~data_modules.images.svg.css.cascade`.
        parent: Values of what is around it.
    """
    inherited = parent.inherited
    if any(name in INHERITED or name.startswith("--") for name in declared):
        inherited = dict(inherited)
        inherited.update((k, v) for k, v in declared.items() if k.startswith("--"))
    own: dict[str, str] = {}
    problem = ""
    for name, text in declared.items():
        if name not in PROPERTIES:
            own[name] = text
            continue
        values, before = (inherited, parent.inherited) if name in INHERITED else (own, parent.own)
        value = _value(name, text, inherited, before)
        if value is None:
            value = before.get(name, "") if name in INHERITED else ""
        if function := computed(value):
            problem = f"its {name} is computed by {function}(); write a number"
        values[name] = value
    return Style(inherited, own, problem)


def _value(
    name: str, text: str, variables: Mapping[str, str], parent: Mapping[str, str]
) -> str | None:
    """A declared value; None where a browser takes the property as not set."""
    value = _with_variables(text, variables) if "var(" in text.lower() else text
    word = (value or "").strip().lower()
    if word == "inherit":
        return parent.get(name, "")
    if word == "initial":
        return PLAIN.inherited.get(name, "")
    unset = value is None or word in ("unset", "revert", "revert-layer")
    if unset or (name in ("fill", "stroke", "color") and not is_paint(word)):
        return None
    return value


def _with_variables(text: str, variables: Mapping[str, str]) -> str | None:
    """A value with ``var(--name, other)`` put in; None where one is missing or circles."""
    for _ in range(_MOST_VARIABLES):
        start = text.lower().find("var(")
        if start < 0:
            return text
        depth, end = 1, start + 4
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        name, comma, other = text[start + 4 : end - 1].partition(",")
        value = variables.get(name.strip(), other if comma else None)
        if value is None or len(text) + len(value) > _LONGEST:
            return None
        text = text[:start] + value + text[end:]
    return None


def has_ink(style: Style, diagonal: float) -> bool:
    """Whether a stroke has a width and dashes.

    Dashes of length 0 without round or square caps hide it. Other dashes count as a whole line:
    what they leave out is still recognized as part of the drawing.
    """
    if stroke_width(style, diagonal) <= 0:
        return False
    parts = style.word("stroke-dasharray").replace(",", " ").split()
    try:
        dashes = [length(part, diagonal, "stroke-dasharray") for part in parts]
    except ValueError:  # 'none', or nothing that a browser takes
        return True
    if len(dashes) % 2:
        dashes *= 2
    is_pattern = bool(dashes) and min(dashes) >= 0 and sum(dashes) > 0
    caps = style.word("stroke-linecap") in ("round", "square")
    return not is_pattern or caps or any(dashes[::2])


def stroke_width(style: Style, diagonal: float) -> float:
    """Width of a stroke in the element's own units."""
    text = style.text("stroke-width")
    return length(text, diagonal, "stroke-width") if text else 1.0


def filter_problem(style: Style) -> str:
    """Why it is not known what a filter or blending leaves; empty where it leaves the ink."""
    value = style.word("filter")
    if value not in ("", "none") and not value.startswith(("opacity(", "drop-shadow(")):
        return f"filter '{value:.40}'"
    blend = style.word("mix-blend-mode")
    if blend not in ("", "normal", "multiply", "darken"):
        return f"mix-blend-mode '{blend:.40}'"
    if style.word("transform-origin") not in ("", "0", "0 0", "0px 0px") and style.word(
        "transform"
    ) not in ("", "none"):
        return "transform-origin"
    return ""


def target_of(style: Style, name: str) -> str | None:
    """The id that a property refers to; None where it refers to nothing in this file."""
    found = reference(style.text(name))
    return found[0][1:] if found and found[0].startswith("#") else None
