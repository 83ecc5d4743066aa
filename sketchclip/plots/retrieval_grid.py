"""Pictures of retrieval results: a query, then its first photos with the hits marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from sketchclip.plots.tiles import (
    GAP,
    INK,
    PAPER,
    SMALL,
    TEXT,
    TITLE,
    Font,
    fonts,
    frame,
    tile,
    wrapped,
)

_CELL = 84
_PITCH = _CELL + GAP


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
    title: str,
    rows: Sequence[tuple[Path, str, Sequence[Ranking]]],
    footer: str | Sequence[str],
    subtitle: str = "",
) -> Image.Image:
    """Plot a line of photos for each query and model; unreadable files are grey tiles.

    Args:
        title: Text above the grid.
        rows: File, class name and rankings of each query, equally many rankings for each.
        footer: Paragraphs below the grid: how queries were chosen, what the frames mean.
        subtitle: Text between title and grid: means over all queries.
    """
    font, bold, small = fonts()
    models, depth = len(rows[0][2]), max(len(r.photos) for row in rows for r in row[2])
    labels = [r for row in rows for r in row[2]]
    label_width = int(max(max(font.getlength(r.label), small.getlength(r.note)) for r in labels))
    side = models * _PITCH - GAP
    query_width = max(side, *(font.getlength(row[1]) for row in rows))
    left = int(query_width) + label_width + 4 * GAP
    inside = max(left + depth * _PITCH - GAP, 6 * _PITCH)  # wide enough for texts of a single row
    head = _lines(title, bold, TITLE, inside) + _lines(subtitle, font, TEXT, inside)
    paragraphs = [footer] if isinstance(footer, str) else footer
    foot = [line for text in paragraphs for line in _lines(text, small, SMALL, inside)]
    top = GAP + sum(pitch for *_, pitch in head) + SMALL + GAP + 3
    row_height = side + TEXT + 3 * GAP
    height = top + len(rows) * row_height + sum(pitch for *_, pitch in foot) + GAP
    page = Image.new("RGB", (inside + 2 * GAP, height), PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, head, GAP)
    for rank in range(depth):
        x = left + rank * _PITCH + _CELL / 2
        draw.text((x, top - 7), f"{rank + 1}", INK, small, anchor="ms")
    for number, (query, class_name, rankings) in enumerate(rows):
        y = top + number * row_height
        page.paste(tile(query, side), (GAP, y))
        draw.rectangle((GAP, y, GAP + side, y + side), outline=INK)
        draw.text((GAP, y + side + 4), class_name, INK, font)
        for line, ranking in enumerate(rankings):
            line_y, end = y + line * _PITCH, left - 2 * GAP
            middle = line_y + _CELL / 2
            above, below = ((SMALL + 5) / 2, TEXT / 2) if ranking.label and ranking.note else (0, 0)
            draw.text((end, middle - above), ranking.label, INK, font, anchor="rm")
            draw.text((end, middle + below), ranking.note, INK, small, anchor="rm")
            for rank, (photo, hit) in enumerate(zip(ranking.photos, ranking.hits, strict=True)):
                x = left + rank * _PITCH
                page.paste(tile(photo, _CELL), (x, line_y))
                paired = bool(ranking.paired) and ranking.paired[rank]
                frame(draw, x, line_y, _CELL, hit, paired)
    _write(draw, foot, top + len(rows) * row_height)
    return page


def _lines(text: str, font: Font, size: int, width: int) -> list[tuple[str, Font, int]]:
    """Lines of a paragraph with their font and distance."""
    return [(line, font, size + 6) for line in wrapped(text, font, width)]


def _write(draw: ImageDraw.ImageDraw, lines: Sequence[tuple[str, Font, int]], y: int) -> None:
    for text, font, pitch in lines:
        draw.text((GAP, y), text, INK, font)
        y += pitch
