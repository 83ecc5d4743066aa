"""Rendering of stroke drawings, by default in Quick, Draw!'s simplified format."""

import itertools
import math
from collections.abc import Sequence
from numbers import Real

from PIL import Image, ImageDraw

EXTENT = 255.0
"""Largest coordinate of the format: x and y lie in 0..255."""

LARGEST = 1e30
"""Largest coordinate without bounds: float32 can still hold the distance of any two."""

MARGIN = 0.06
"""Empty border on each side, as a share of the picture; the renders leave about the same."""

_SUPERSAMPLE = 4

Stroke = Sequence[Sequence[float]]
Drawing = Sequence[Stroke]


def check_drawing(drawing: Drawing, extent: float | None = EXTENT) -> None:
    """Check that a drawing is well formed.

    Args:
        drawing: Strokes ``[[xs], [ys]]``; further rows (times) are allowed and ignored.
        extent: Largest coordinate allowed, 0 being the smallest; None for no bounds, as raw
            drawings and SVG files have none.

    Raises:
        ValueError: If there is no stroke, a stroke is no pair of equally long non-empty rows, or
            a coordinate is no finite number or is outside 0..extent.
    """
    if isinstance(drawing, (str, bytes)) or not isinstance(drawing, Sequence):
        raise ValueError(f"a drawing is a list of strokes, got {type(drawing).__name__}")
    if not drawing:
        raise ValueError("a drawing needs at least one stroke, got none")
    lowest, highest = (-LARGEST, LARGEST) if extent is None else (0.0, extent)
    for index, stroke in enumerate(drawing):
        if not isinstance(stroke, Sequence) or isinstance(stroke, str) or len(stroke) < 2:
            raise ValueError(f"stroke {index}: expected [[x, ...], [y, ...]], got {stroke!r:.60}")
        xs, ys = stroke[0], stroke[1]
        if not all(isinstance(row, Sequence) and not isinstance(row, str) for row in (xs, ys)):
            raise ValueError(f"stroke {index}: expected [[x, ...], [y, ...]], got {stroke!r:.60}")
        if len(xs) != len(ys) or not xs:
            raise ValueError(f"stroke {index}: {len(xs)} x and {len(ys)} y, expected as many >= 1")
        for value in (*xs, *ys):
            if not isinstance(value, Real) or isinstance(value, bool):
                raise ValueError(f"stroke {index}: coordinate {value!r:.40} is no number")
            if not lowest <= value <= highest:  # also false for NaN
                bounds = f"{lowest:g}..{highest:g}"
                raise ValueError(f"stroke {index}: coordinate {value!r:.40} is outside {bounds}")


def render_strokes(
    drawing: Drawing,
    size: int = 112,
    width: float | Sequence[float] | None = None,
    extent: float | None = EXTENT,
) -> Image.Image:
    """Draw strokes in black on white, antialiased, with round caps and joins.

    The drawing is scaled by one factor to fill the picture up to a margin, and centred, so that
    an unnormalised drawing looks the same as a normalised one.

    Args:
        drawing: Strokes ``[[xs], [ys]]`` with coordinates in 0..extent, y downwards.
        size: Side of the square picture in pixels.
        width: Line width in pixels, one for all strokes or one for each; by default
            ``size / 37``, 3 pixels at 112.
        extent: Largest coordinate allowed; None for no bounds.

    Returns:
        An RGB image of ``size`` x ``size`` pixels.

    Raises:
        ValueError: If the drawing is malformed, size or a width is not positive, or there are
            not as many widths as strokes.

    Example:
        >>> image = render_strokes([[[0, 255], [0, 255]]], size=32)
        >>> image.size, image.mode, image.getpixel((31, 0)), image.getpixel((16, 16))[0] < 128
        ((32, 32), 'RGB', (255, 255, 255), True)
        >>> render_strokes([[[0, 300], [0, 9]]])
        Traceback (most recent call last):
        ...
        ValueError: stroke 0: coordinate 300 is outside 0..255
    """
    check_drawing(drawing, extent)
    if isinstance(size, bool) or not isinstance(size, int) or size < 8:
        raise ValueError(f"size must be an integer >= 8, got {size!r}")
    width = size / 37 if width is None else width
    widths = width if isinstance(width, Sequence) else [width] * len(drawing)
    if len(widths) != len(drawing):
        raise ValueError(f"{len(drawing)} strokes need as many widths, got {len(widths)}")
    for one in widths:
        if not 0 < one < size / 2:
            raise ValueError(f"width must be in 0..size/2, got {one!r} at size {size}")
    xs = [x for stroke in drawing for x in stroke[0]]
    ys = [y for stroke in drawing for y in stroke[1]]
    span = max(max(xs) - min(xs), max(ys) - min(ys))
    side, pen = size * _SUPERSAMPLE, max(widths) * _SUPERSAMPLE
    scale = (side * (1 - 2 * MARGIN) - pen) / span if span else 0.0
    left = side / 2 - scale * (max(xs) + min(xs)) / 2
    top = side / 2 - scale * (max(ys) + min(ys)) / 2
    canvas = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(canvas)
    for stroke, one in zip(drawing, widths, strict=True):
        points = [(left + scale * x, top + scale * y) for x, y in zip(*stroke[:2], strict=True)]
        _polyline(draw, points, one * _SUPERSAMPLE / 2)
    # A box filter over whole pixels is exact area coverage of the supersampled picture.
    return canvas.resize((size, size), Image.Resampling.BOX).convert("RGB")


def _polyline(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], radius: float) -> None:
    """Draw one stroke as discs at its points and rectangles between them.

    Pillow's own wide lines round their width to whole pixels and have no round caps.
    """
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        if length:
            dx, dy = radius * (y1 - y0) / length, radius * (x0 - x1) / length
            corners = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy)]
            draw.polygon([*corners, (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)], fill=0)
