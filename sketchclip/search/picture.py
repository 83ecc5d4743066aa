"""Picture of a search: the query, the photos found, and what searched how many of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sketchclip.plots.search_page import search_page
from sketchclip.semantics.class_names import spoken

if TYPE_CHECKING:
    from sketchclip.search.index import Hit

SCORES = {"cosine": ("cosine", 1), "euclidean": ("distance", -1), "hamming": ("bits apart", -1)}
"""What people read for a score of a similarity, and its sign."""


def query_title(
    sketch: str | None, text: str | None, weight: float, class_name: str | None = None
) -> str:
    """Name what was searched for.

    Args:
        sketch: Name of the sketch; None for a search by text.
        text: Words; None or empty for a search by sketch.
        weight: Weight of the text beside a sketch.
        class_name: The one class that was searched.

    >>> query_title("cat.png", "a black cat", 0.3, "house_cats")
    'Query: cat.png + "a black cat" (weight of the text 0.3), class house cats'
    """
    parts = [*([sketch] if sketch else []), *([f'"{text}"'] if text else [])]
    title = f"Query: {' + '.join(parts)}"
    if sketch and text:
        title += f" (weight of the text {weight:g})"
    return title + (f", class {spoken(class_name)}" if class_name else "")


def search_picture(
    title: str,
    image: np.ndarray | None,
    hits: "Sequence[Hit]",
    model: str,
    photos: int,
    similarity: str,
) -> Image.Image:
    """Plot the photos that a search has found.

    Args:
        title: What was searched for.
        image: Sketch, uint8 RGB, (H, W, 3); None for a search by text.
        hits: Photos, best first.
        model: Name of the model.
        photos: Number of photos in the index.
        similarity: Kind of the scores; see ``SCORES``.
    """
    name, sign = SCORES.get(similarity, ("score", 1))
    digits = 3 if name != "bits apart" else 0
    shown = [
        (
            hit.path,
            f"{hit.rank}   {sign * hit.score:.{digits}f}",
            spoken(hit.class_name) if hit.class_name else hit.path.name,
        )
        for hit in hits
    ]
    footer = f"The first {len(hits):,} of {photos:,} photos, found by {model}. Below each photo: "
    footer += f"rank, {name}, and its class or file."
    return search_page(image, title, shown, footer)
