"""What strokes and fills are painted with."""

from collections.abc import Callable

from data_modules.images.svg.style import Style
from data_modules.images.svg.values import Color, color, reference, share

Paint = tuple[Color, float]
"""Red, green and blue from 0 to 255, and the opacity."""

_BLACK: Paint = ((0.0, 0.0, 0.0), 1.0)


def paints(
    style: Style, what: str, opacity: float, server: Callable[[str], list[Paint] | None]
) -> list[Paint]:
    """Colors of a stroke or fill: one, several of a gradient, none without.

    Args:
        style: Values of the shape.
        what: ``stroke`` or ``fill``.
        opacity: That of the shape and its groups.
        server: Colors of the gradient or pattern with an id; None where there is none.

    Raises:
        ValueError: If its color is of a kind that cannot be read.
    """
    value = style.text(what)
    if linked := reference(value):
        found = server(linked[0][1:]) if linked[0].startswith("#") else None
        if found is None:  # what stands behind it holds
            found = _plain(linked[1], style)
    else:
        found = _plain(value, style)
    opacity *= share(style.word(f"{what}-opacity"))
    return [(rgb, alpha * opacity) for rgb, alpha in found if alpha * opacity > 0]


def stop_paint(style: Style) -> Paint:
    """Color of a <stop> of a gradient."""
    text = style.text("stop-color") or "black"
    (rgb, alpha), *_ = [*_plain(text, style), _BLACK]
    return rgb, alpha * share(style.word("stop-opacity"))


def _plain(value: str, style: Style) -> list[Paint]:
    if value.lower() == "currentcolor":
        value = style.text("color") or "black"
    found = color(value.partition(" icc-color")[0]) if value.lower() != "none" else None
    return [found] if found else []
