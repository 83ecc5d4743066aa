"""Answers to the page: photos for a query, as data and as a picture, and each photo by its id."""

import base64
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_modules.images.decode import UnreadableImageError
from data_modules.images.read import read_image
from sketchclip.errors import SketchClipError
from sketchclip.search.demo.columns import Column
from sketchclip.search.demo.limits import RequestError
from sketchclip.search.demo.pictures import PHOTO_SIZES, Thumbnails, to_png
from sketchclip.search.demo.query import Query, parse_query
from sketchclip.search.index import Hit
from sketchclip.search.picture import query_title, search_picture
from sketchclip.semantics.class_names import spoken

_SEEN = 112
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


class Answers:
    """Answers to queries from all columns; to be asked from threads.

    Args:
        columns: Lists of results, one or two.
        cache_bytes: Size of the photos kept in memory.
        full_paths: Whether to name the path of a photo on this machine; else its folder and name.
    """

    def __init__(self, columns: Sequence[Column], cache_bytes: int, full_paths: bool) -> None:
        self._columns = columns
        self._thumbnails = Thumbnails(cache_bytes)
        self._full_paths = full_paths

    def about(self) -> dict[str, Any]:
        """Names, numbers of photos and classes of the columns."""
        columns = [{"name": column.name, "photos": len(column.index)} for column in self._columns]
        classes = {name for column in self._columns for name in column.classes}
        return {"columns": columns, "classes": sorted(classes)}

    def search(self, body: bytes) -> dict[str, Any]:
        """Find photos for a query in JSON.

        Returns:
            ``results``, a list of photos for each column, and ``seen``, the sketch that the model
            gets as a data URL, or None.

        Raises:
            SketchClipError: If the body is no query, or the query cannot be answered.
        """
        _, image, found = self._find(body)
        seen = None if image is None else _data_url(image)
        return {"results": [[self._described(hit) for hit in hits] for hits in found], "seen": seen}

    def grid(self, body: bytes) -> bytes:
        """Plot the photos for a query; the content of a PNG file."""
        query, image, found = self._find(body)
        sketch = None if image is None else "a sketch"
        if query.like is not None:
            like = self._hit(query.like.column, query.like.photo)
            image = read_image(like.path, PHOTO_SIZES[0])
            sketch = f"photos like {spoken(like.class_name or '') or like.path.name}"
        title = query_title(sketch, query.text, query.weight, query.class_name)
        pages = [
            search_picture(title, image, hits, column.name, len(column.index), "score")
            for column, hits in zip(self._columns, found, strict=True)
        ]
        return to_png(_below_each_other(pages))

    def thumbnail(self, column: int, photo: str, side: int) -> bytes:
        """Encode a photo of an index as WebP; status 404 if there is no such photo."""
        hit = self._hit(column, photo)
        try:
            return self._thumbnails.webp(hit.path, side)
        except UnreadableImageError as error:
            raise RequestError("The photo was moved, or cannot be read any more.", 404) from error

    def _find(self, body: bytes) -> tuple[Query, np.ndarray | None, list[list[Hit]]]:
        query = parse_query(body)
        image = query.image()
        like = self._hit(query.like.column, query.like.photo) if query.like else None
        return query, image, [column.search(query, image, like) for column in self._columns]

    def _hit(self, column: int, photo: str) -> Hit:
        if column < len(self._columns) and _ID.fullmatch(photo):
            with suppress(SketchClipError):
                return self._columns[column].index.hit(photo)
        raise RequestError("There is no such photo in the index.", 404)

    def _described(self, hit: Hit) -> dict[str, Any]:
        path = hit.path if self._full_paths else Path(*hit.path.parts[-2:])
        return {
            "id": hit.photo,
            "rank": hit.rank,
            "score": round(float(hit.score), 6),
            "class": hit.class_name,
            "path": str(path),
        }


def _below_each_other(pages: list[Image.Image]) -> Image.Image:
    width, height = max(page.width for page in pages), sum(page.height for page in pages)
    whole, top = Image.new("RGB", (width, height), "white"), 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    return whole


def _data_url(image: np.ndarray) -> str:
    small = Image.fromarray(image)
    small.thumbnail((_SEEN, _SEEN), Image.Resampling.BOX)
    return "data:image/png;base64," + base64.b64encode(to_png(small)).decode()
