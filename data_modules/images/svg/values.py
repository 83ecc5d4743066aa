"""Values of SVG attributes and CSS properties: lengths, opacities, colors, references."""

import math
import re
from functools import lru_cache

Color = tuple[float, float, float]

FAINTEST = 0.05
"""Least contrast of ink, 0 to 1: a line that differs less from the paper is not seen."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(%|[a-z]*)\s*", re.IGNORECASE)
_PIXELS = {
    **{"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0},
    **{"in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6},
}
_FONT_UNITS = frozenset("em rem ex rex ch rch cap ic lh rlh".split())
_CALLS = re.compile(r"\b(calc|min|max|clamp|env|attr)\(", re.IGNORECASE)
_URL = re.compile(r"url\(\s*[\"']?([^\"')]*)[\"']?\s*\)\s*(.*)", re.IGNORECASE | re.DOTALL)
# What svgelements reads; CSS knows more, which it would take for black.
_COLOR = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})|[a-z]+|(?:rgb|hsl)a?\([^()]*\)")
_ANY_COLOR = re.compile(r"(?:hwb|lab|lch|oklab|oklch|color|color-mix|light-dark)\(")


class FontUnitError(ValueError):
    """A length in units of a font, which the reader does not know."""


def length(text: str, whole: float, name: str) -> float:
    """A length in pixels.

    Args:
        text: As ``12``, ``3mm`` or ``50%``.
        whole: What 100% is.
        name: Attribute for messages.

    Raises:
        ValueError: If it is no length, or one that needs a font (``FontUnitError``).

    >>> length("1in", 0, "width"), length("50%", 300, "width")
    (96.0, 150.0)
    """
    found = _NUMBER.fullmatch(text)
    unit = found[2].lower() if found else ""
    if unit in _FONT_UNITS:
        raise FontUnitError(f"its {name} '{text:.20}' needs a font; write it in px")
    if found and unit == "%":
        value = float(found[1]) / 100 * whole
    elif found and unit in _PIXELS:
        value = float(found[1]) * _PIXELS[unit]
    else:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"its {name} '{text:.20}' is no length that can be read; write it in px")
    return value


def share(text: str | None) -> float:
    """An opacity, 0 to 1: a number or a percentage; 1 for what is none."""
    found = _NUMBER.fullmatch(text or "")
    if not found or found[2] not in ("", "%"):
        return 1.0
    return min(max(float(found[1]) / (100 if found[2] else 1), 0.0), 1.0)


def computed(text: str) -> str | None:
    """The function of a value that is computed, as ``calc``; None for a plain value."""
    found = _CALLS.search(text)
    return found[1].lower() if found else None


def reference(text: str) -> tuple[str, str] | None:
    """Target of ``url(...)`` and what stands behind it; None for other values.

    >>> reference("url(#a) none"), reference("none")
    (('#a', 'none'), None)
    """
    found = _URL.match(text.strip())
    return (found[1].strip(), found[2].strip()) if found else None


def is_paint(text: str) -> bool:
    """Whether a value of fill or stroke is valid, so that a browser does not pass over it."""
    plain = text.strip().lower()
    if plain in ("none", "currentcolor", "context-fill", "context-stroke") or reference(plain):
        return True
    try:
        return color(plain) is not None
    except ValueError:  # a color that is valid and cannot be read
        return True


@lru_cache(maxsize=1024)
def color(text: str) -> tuple[Color, float] | None:
    """Red, green and blue, 0 to 255, and the opacity; None for what is no color.

    Raises:
        ValueError: If it is a color of a kind that cannot be read.

    >>> color("red"), color("rgb(0 0 0 / 50%)"), color("nothing")
    (((255, 0, 0), 1.0), ((0, 0, 0), 0.5), None)
    """
    import svgelements as svg  # not for --help

    plain = text.strip().lower()
    if _ANY_COLOR.match(plain):
        raise ValueError(f"the color '{plain:.40}' cannot be read; write it as #rrggbb")
    if not _COLOR.fullmatch(plain):
        return None
    alpha, plain = _without_opacity(plain)
    try:
        found = svg.Color(plain)
    except ValueError:
        return None
    # The library takes a name it does not know for black.
    unknown = plain.isalpha() and found.value == svg.Color("black").value and plain != "black"
    if found.value is None or unknown:
        return None
    return (found.red, found.green, found.blue), found.opacity if alpha is None else alpha


def _without_opacity(plain: str) -> tuple[float | None, str]:
    """``rgb(0 0 0 / 50%)`` as the library reads it, ``rgb(0,0,0)``, and the opacity."""
    name, bracket, rest = plain.partition("(")
    if not bracket:
        return None, plain
    parts = re.split(r"[\s,/]+", rest.rstrip(") ").strip())
    numbers = [part.removesuffix("deg") for part in parts[:3]]
    if name.startswith("rgb"):
        numbers = [n if "%" in n else str(round(float(n))) for n in numbers if _NUMBER.fullmatch(n)]
    return share(parts[3]) if parts[3:] else None, f"{name}({','.join(numbers)})"
