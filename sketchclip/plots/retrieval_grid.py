"""Pictures of retrieval results: a query, then its first photos with hits and misses framed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_modules.images.read import read_image
from sketchclip.errors import SketchClipError

HIT, MISS, PAIRED, INK, PAPER, GREY = (
    "#1b9e3e",
    "#c8372d",
    "#0072b2",
    "#222222",
    "#ffffff",
    "#c9c9c9",
)
_CELL, _GAP, _TEXT, _TITLE, _SMALL = 84, 8, 15, 20, 12


@dataclass(frozen=True)
class Ranking:
    """The first photos of one query under one model.

    Attributes:
        label: Name of the model.
        photos: Files in rank order.
        hits: True for each relevant photo.
        paired: True for the one photo that the sketch was drawn from; empty without pairs.
        note: Text under the label.
    """

    label: str
    photos: Sequence[Path]
    hits: Sequence[bool]
    paired: Sequence[bool] = ()
    note: str = ""


def retrieval_grid(
    title: str, rows: Sequence[tuple[Path, str, Sequence[Ranking]]], footer: str | Sequence[str]
) -> Image.Image:
    """Plot a line of photos for each query and model; unreadable files are grey tiles.

    Args:
        title: Text above the grid.
        rows: File, class name and rankings of each query, equally many rankings for each.
        footer: Lines below the grid: how queries were chosen, what the frames mean.
    """
    lines = [footer] if isinstance(footer, str) else footer
    font, bold, small = map(ImageFont.load_default, (_TEXT, _TITLE, _SMALL))
    models, depth = len(rows[0][2]), max(len(r.photos) for row in rows for r in row[2])
    labels = [r for row in rows for r in row[2]]
    widths = [max(font.getlength(r.label), small.getlength(r.note)) for r in labels]
    label_width = int(max(widths)) + 2 * _GAP
    pitch = _CELL + _GAP
    side = models * pitch - _GAP
    left = int(_GAP + max(side, *(font.getlength(row[1]) for row in rows)) + label_width + _GAP)
    wide = [bold.getlength(title), *(font.getlength(line) for line in lines)]
    width = int(max(left + depth * pitch, *wide)) + 2 * _GAP
    row_height = side + _TEXT + 3 * _GAP
    top = 4 * _GAP + 2 * _TEXT
    height = top + len(rows) * row_height + len(lines) * (_TEXT + 5) + _GAP
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, _GAP), title, INK, bold)
    for rank in range(depth):
        x = left + rank * pitch + _CELL / 2
        draw.text((x, top - 4), f"{rank + 1}", INK, small, anchor="ms")
    for number, (query, class_name, rankings) in enumerate(rows):
        y = top + number * row_height
        page.paste(_tile(query, side), (_GAP, y))
        draw.rectangle((_GAP, y, _GAP + side, y + side), outline=INK)
        draw.text((_GAP, y + side + 3), class_name, INK, font)
        for line, ranking in enumerate(rankings):
            line_y = y + line * pitch
            middle = line_y + _CELL / 2 - (_SMALL / 2 if ranking.note else 0)
            draw.text((left - 2 * _GAP, middle), ranking.label, INK, font, anchor="rm")
            below = middle + (_TEXT + 1 if ranking.label else _SMALL / 2)
            draw.text((left - 2 * _GAP, below), ranking.note, INK, small, anchor="rm")
            for rank, (photo, hit) in enumerate(zip(ranking.photos, ranking.hits, strict=True)):
                x = left + rank * pitch
                page.paste(_tile(photo, _CELL), (x, line_y))
                _frame(draw, x, line_y, hit, bool(ranking.paired) and ranking.paired[rank])
    for number, text in enumerate(lines):
        below = top + len(rows) * row_height + number * (_TEXT + 5)
        draw.text((_GAP, below), text, INK, font)
    return page


def search_page(
    query: np.ndarray | None,
    title: str,
    photos: Sequence[tuple[Path, str, str]],
    footer: str = "",
    columns: int = 10,
) -> Image.Image:
    """Plot the result of a search, where relevance is unknown.

    Args:
        query: Sketch for the left, uint8 RGB, (H, W, 3); None for a search by text.
        title: Text above the photos.
        photos: File of each photo, best first, and two lines for below it.
        footer: Line at the end.
        columns: Photos in a row.
    """
    font, bold, small = map(ImageFont.load_default, (_TEXT, _TITLE, _SMALL))
    pitch, row_height, side = _CELL + 2 * _GAP, _CELL + 2 * _SMALL + 3 * _GAP, 2 * _CELL
    left = _GAP if query is None else side + 4 * _GAP
    rows = -(-len(photos) // columns)
    top = 2 * _GAP + 2 * _TEXT
    across = max(left + min(columns, len(photos)) * pitch, bold.getlength(title) + _GAP)
    height = top + max(rows * row_height, side if query is not None else 0) + 2 * _TEXT
    page = Image.new("RGB", (int(max(across, font.getlength(footer) + _GAP)) + _GAP, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, _GAP), title, INK, bold)
    if query is not None:
        page.paste(_fitted(Image.fromarray(query), side), (_GAP, top))
        draw.rectangle((_GAP, top, _GAP + side, top + side), outline=INK)
    for number, (photo, *lines) in enumerate(photos):
        x, y = left + number % columns * pitch, top + number // columns * row_height
        page.paste(_tile(photo, _CELL), (x, y))
        for line, text in enumerate(lines):
            below = y + _CELL + 2 + line * (_SMALL + 2)
            draw.text((x, below), _shortened(text, small, pitch - 4), INK, small)
    draw.text((_GAP, height - _TEXT - _GAP), footer, INK, font)
    return page


def _frame(draw: ImageDraw.ImageDraw, x: int, y: int, hit: bool, paired: bool) -> None:
    """Frame a photo: thick if relevant, double if paired, so that colour is not needed."""
    box = (x - 2, y - 2, x + _CELL + 1, y + _CELL + 1)
    if paired:
        draw.rectangle(box, outline=PAIRED, width=3)
        draw.rectangle((x + 3, y + 3, x + _CELL - 4, y + _CELL - 4), outline=PAIRED, width=2)
    else:
        draw.rectangle(box, outline=HIT if hit else MISS, width=5 if hit else 1)


def _tile(path: Path, side: int) -> Image.Image:
    """Fit a photo into a square, grey with a text if the file is missing or damaged."""
    try:
        return _fitted(Image.fromarray(read_image(path, side)), side)
    except (SketchClipError, OSError):
        tile, font = Image.new("RGB", (side, side), GREY), ImageFont.load_default(11)
    draw, name = ImageDraw.Draw(tile), _shortened(path.name, font, side - 6)
    draw.text((side / 2, side / 2 - 7), "cannot read", INK, font, anchor="mm")
    draw.text((side / 2, side / 2 + 7), name, INK, font, anchor="mm")
    return tile


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Paste the image in the middle of a white square."""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while len(text) > 4 and font.getlength(text) > width:
        text = f"{text[:-2].rstrip('…')}…"
    return text
