"""Picture of what a search has found, where nobody knows which photos are right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sketchclip.plots.tiles import (
    GAP,
    INK,
    PAPER,
    SMALL,
    TITLE,
    fitted,
    fonts,
    shortened,
    tile,
    wrapped,
)

_CELL, _COLUMNS = 104, 8
_PITCH = _CELL + 2 * GAP


def search_page(
    query: np.ndarray | None, title: str, photos: Sequence[tuple[Path, str, str]], footer: str = ""
) -> Image.Image:
    """Plot the photos of a search, eight in a row.

    Args:
        query: Sketch for the left, uint8 RGB, (H, W, 3); None for a search by text.
        title: Text above the photos.
        photos: File of each photo, best first, and two lines for below it.
        footer: Paragraph at the end.
    """
    _, bold, small = fonts()
    side = 2 * _CELL
    left = GAP if query is None else side + 4 * GAP
    width = left + _COLUMNS * _PITCH
    head, foot = (wrapped(*text, width - 2 * GAP) for text in ((title, bold), (footer, small)))
    row_height = _CELL + 2 * (SMALL + 3) + 2 * GAP
    top = 2 * GAP + len(head) * (TITLE + 6)
    rows = max(-(-len(photos) // _COLUMNS) * row_height, 0 if query is None else side + 2 * GAP)
    page = Image.new("RGB", (width, top + rows + len(foot) * (SMALL + 6) + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for number, text in enumerate(head):
        draw.text((GAP, GAP + number * (TITLE + 6)), text, INK, bold)
    if query is not None:
        page.paste(fitted(Image.fromarray(query), side), (GAP, top))
        draw.rectangle((GAP, top, GAP + side, top + side), outline=INK)
    for number, (photo, *lines) in enumerate(photos):
        x, y = left + number % _COLUMNS * _PITCH, top + number // _COLUMNS * row_height
        page.paste(tile(photo, _CELL), (x, y))
        for line, text in enumerate(lines):
            below = y + _CELL + 3 + line * (SMALL + 3)
            draw.text((x, below), shortened(text, small, _PITCH - 6), INK, small)
    for number, text in enumerate(foot):
        draw.text((GAP, top + rows + number * (SMALL + 6)), text, INK, small)
    return page
