"""Lists of results on the page: each an index with the model that made it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from data_modules.bundled import Doodles, read_doodles
from data_modules.cache import cache_folder
from data_modules.images.render import Drawing
from data_modules.splits.split import packaged_list
from sketchclip.clip.text import TEMPLATE
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.model import FROZEN, SearchModel, load_model
from sketchclip.search.demo.query import Query
from sketchclip.search.index import Hit, PhotoIndex
from sketchclip.search.query import combine
from sketchclip.search.update import index_photos

_MINI = "sketchclip-mini"
_TEXTS = 256
_EVERY = 8
"""One in so many unseen classes lends its first doodle as an example."""


@dataclass(frozen=True)
class Column:
    """One list of results.

    Attributes:
        name: Heading of the list.
        index: Index of photos.
        model: Model that made the index.
    """

    name: str
    index: PhotoIndex
    model: SearchModel

    @cached_property
    def classes(self) -> frozenset[str]:
        """Classes of the index; asked for once, as that reads all of a large index."""
        return frozenset(self.index.classes)

    @cached_property
    def _text(self) -> Callable[[str], np.ndarray]:
        """Embedding of words: while somebody draws, the same ones are asked for again and again."""
        return lru_cache(_TEXTS)(lambda words: self.model.texts([TEMPLATE.format(words)])[0])

    def search(self, query: Query, image: np.ndarray | None, like: Hit | None) -> list[Hit]:
        """Find photos by a sketch, by a photo whose like is sought, by words, or by both.

        Returns:
            The best first; none if this index has no photo of the class.
        """
        if query.class_name and query.class_name not in self.classes:
            return []
        shape, rescore = (None if like is None else self._photo(like)), None
        if image is not None:
            shape, rescore = self.model.query(image)
        words = query.text.strip()
        text = self._text(words) if words else None
        return self.index.search(
            combine(shape, text, query.weight),
            query.count,
            query.class_name or None,
            rescore,
        )

    def _photo(self, photo: Hit) -> np.ndarray:
        """Embedding of a photo; one of another index may be missing in this one."""
        try:
            return self.index.vector(photo.photo)
        except SketchClipError:
            return self.model.photos([photo.path])[0]


def open_columns(indexes: Sequence[str], device: str) -> list[Column]:
    """Open indexes with the models that made them, on a device."""
    columns = []
    for name in indexes:
        index = PhotoIndex.open(name)
        model = index.load_model(device=device)
        columns.append(Column(f"{name}: {model.name}", index, model))
    return columns


def bundled_columns(models: Sequence[str], device: str) -> list[Column]:
    """Index the photos of the bundled Doodles, of all classes, or take the index of the last time.

    Returns:
        A column for each model; ``frozen`` is the small CLIP of the package.
    """
    root = Doodles().catalogue.files.root
    columns = []
    for name in models:
        model = load_model(name, _MINI if name == FROZEN else None, device=device)
        # Another version of the photos and another model have indexes of their own.
        location = str(cache_folder() / "indexes" / f"{root.name}-{model.model_hash}")
        index_photos([root / "photo"], model, location)
        columns.append(Column(model.name, PhotoIndex.open(location), model))
    return columns


def examples() -> list[tuple[str, Drawing]]:
    """Names and strokes of doodles of unseen classes, not chosen by what they find."""
    doodles = read_doodles()
    unseen = packaged_list(str(Doodles.default_split), "unseen")
    return [(name, doodles[name][0]) for name in unseen[::_EVERY]]
