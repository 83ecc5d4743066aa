"""Pictures of retrieval results: query, then the first photos with hits and misses framed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from data_modules.images import read_image

HIT, MISS, INK, PAPER = "#1b9e3e", "#c8372d", "#222222", "#ffffff"
_CELL, _GAP, _TEXT = 84, 8, 15


@dataclass(frozen=True)
class Ranking:
    """The first photos of one query under one model.

    Attributes:
        label: Name of the model.
        photos: Files in rank order.
        hits: Whether each photo is relevant.
    """

    label: str
    photos: Sequence[Path]
    hits: Sequence[bool]


def retrieval_grid(
    title: str, rows: Sequence[tuple[Path, str, Sequence[Ranking]]], footer: str
) -> Image.Image:
    """Draw a grid: for each query one line a model.

    Args:
        title: Above the grid.
        rows: For each query its file, its class name and its rankings, all of one length.
        footer: Below the grid: how queries were chosen, what the frames mean.

    Returns:
        RGB picture.
    """
    font, bold = ImageFont.load_default(_TEXT), ImageFont.load_default(_TEXT + 6)
    models, depth = len(rows[0][2]), len(rows[0][2][0].photos)
    names = [ranking.label for ranking in rows[0][2]]
    label_width = int(max(font.getlength(n) for n in [*names, *(r[1] for r in rows)])) + 2 * _GAP
    pitch = _CELL + _GAP
    query_width = max(models * pitch, label_width)
    left = _GAP + query_width + label_width
    needed = max(left + depth * pitch, int(bold.getlength(title)), int(font.getlength(footer)))
    row_height = models * pitch + _TEXT + 2 * _GAP
    top = 3 * _GAP + _TEXT + 6
    page = Image.new("RGB", (needed + 2 * _GAP, top + len(rows) * row_height + 3 * _TEXT), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, _GAP), title, INK, bold)
    for number, (query, class_name, rankings) in enumerate(rows):
        y = top + number * row_height
        side = models * pitch - _GAP
        page.paste(_fit(query, side), (_GAP, y))
        draw.rectangle((_GAP, y, _GAP + side, y + side), outline=INK)
        draw.text((_GAP, y + side + 2), class_name, INK, font)
        for line, ranking in enumerate(rankings):
            line_y = y + line * pitch
            draw.text((left - _GAP, line_y + _CELL / 2), ranking.label, INK, font, anchor="rm")
            for rank, (photo, hit) in enumerate(zip(ranking.photos, ranking.hits, strict=True)):
                x = left + rank * pitch
                page.paste(_fit(photo, _CELL), (x, line_y))
                # Width as well as colour tells a hit from a miss.
                box = (x - 2, line_y - 2, x + _CELL + 1, line_y + _CELL + 1)
                draw.rectangle(box, outline=HIT if hit else MISS, width=5 if hit else 1)
    draw.text((_GAP, page.height - 2 * _TEXT), footer, INK, font)
    return page


def _fit(path: Path, side: int) -> Image.Image:
    image = Image.fromarray(read_image(path, side))  # drawings of strokes, too
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
