"""An index with the model that made it: one list of results on the page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from sketchclip.clip.text import TEMPLATE
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.model import SearchModel
from sketchclip.search.demo.query import Query
from sketchclip.search.index import Hit, PhotoIndex
from sketchclip.search.query import combine

_TEXTS = 256


@dataclass(frozen=True)
class Column:
    """One list of results.

    Attributes:
        name: Above it.
        index: Of photos.
        model: The one that made the index.
    """

    name: str
    index: PhotoIndex
    model: SearchModel

    @cached_property
    def classes(self) -> frozenset[str]:
        """Of the index; asked for once, as that reads all of a large index."""
        return frozenset(self.index.classes)

    @cached_property
    def _text(self) -> Callable[[str], np.ndarray]:
        """Embedding of words: while somebody draws, the same ones are asked for again and again."""
        return lru_cache(_TEXTS)(lambda words: self.model.texts([TEMPLATE.format(words)])[0])

    def search(self, query: Query, image: np.ndarray | None, like: Hit | None) -> list[Hit]:
        """Find photos.

        Args:
            query: Text, weight, filter and number of photos.
            image: The sketch, uint8 RGB, (H, W, 3).
            like: A photo whose like is sought; of this index or of another one.

        Returns:
            The best first; none if the class is one of another column alone.

        Raises:
            SketchClipError: If the model cannot embed what is asked, or the photo is gone.
        """
        if query.class_name and query.class_name not in self.classes:
            return []
        shape = self._photo(like) if like is not None else None
        if image is not None:
            shape = self.model.sketches([image])[0]
        words = query.text.strip()
        text = self._text(words) if words else None
        return self.index.search(
            combine(shape, text, query.weight), query.count, query.class_name or None
        )

    def _photo(self, photo: Hit) -> np.ndarray:
        """Embedding of a photo; one of another index may be missing in this one."""
        try:
            return self.index.vector(photo.photo)
        except SketchClipError:
            return self.model.photos([photo.path])[0]
