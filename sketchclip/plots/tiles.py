"""Parts of pictures with photos: tiles, frames and texts, which fit a page in print."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from data_modules.images.read import read_image
from sketchclip.errors import SketchClipError

HIT, MISS, PAIRED, INK, PAPER, GREY = (
    "#009e73",
    "#b4b4b4",
    "#0072b2",
    "#222222",
    "#ffffff",
    "#d4d4d4",
)
GAP, TEXT, TITLE, SMALL = 8, 19, 24, 17
"""Pixels. Pictures are some 1,200 wide: in print, 7.16 inches, the smallest text has 7 points."""
_BADGE = 21

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def fonts() -> tuple[Font, Font, Font]:
    """Fonts of texts, titles and notes."""
    text, title, small = map(ImageFont.load_default, (TEXT, TITLE, SMALL))
    return text, title, small


def tile(path: Path, side: int) -> Image.Image:
    """Fit a photo into a square, grey with a text if the file is missing or damaged."""
    try:
        return fitted(Image.fromarray(read_image(path, side)), side)
    except (SketchClipError, OSError):
        empty, font = Image.new("RGB", (side, side), GREY), ImageFont.load_default(14)
    draw, name = ImageDraw.Draw(empty), shortened(path.name, font, side - 6)
    draw.text((side / 2, side / 2 - 9), "cannot read", INK, font, anchor="mm")
    draw.text((side / 2, side / 2 + 9), name, INK, font, anchor="mm")
    return empty


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Paste the image in the middle of a white square."""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def frame(draw: ImageDraw.ImageDraw, x: int, y: int, side: int, hit: bool, paired: bool) -> None:
    """Frame a photo: thick with a tick if relevant, double if paired; no colour is needed.

    Args:
        draw: Canvas of the page.
        x: Left end of the photo.
        y: Upper end of the photo.
        side: Side of the photo in pixels.
        hit: Whether the photo is of the right class.
        paired: Whether it is the one that the sketch was drawn from.
    """
    box = (x - 2, y - 2, x + side + 1, y + side + 1)
    colour = PAIRED if paired else HIT
    if paired:
        draw.rectangle(box, outline=colour, width=3)
        draw.rectangle((x + 3, y + 3, x + side - 4, y + side - 4), outline=colour, width=2)
    else:
        draw.rectangle(box, outline=HIT if hit else MISS, width=5 if hit else 1)
    if hit or paired:
        draw.rectangle((x, y, x + _BADGE, y + _BADGE), fill=colour)
        corners = [(x + 5, y + 11), (x + 9, y + 15), (x + 17, y + 6)]
        draw.line(corners, fill=PAPER, width=3, joint="curve")


def shortened(text: str, font: Font, width: int) -> str:
    """Cut a text to a width in pixels."""
    while len(text) > 4 and font.getlength(text) > width:
        text = f"{text[:-2].rstrip('…')}…"
    return text


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines of at most a width in pixels, between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, font, width))
    return lines
