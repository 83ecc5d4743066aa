"""What the page searches: indexes that somebody named, or the embedded photos."""

from collections.abc import Sequence

from data_modules.bundled import Doodles, cache_folder, read_doodles
from data_modules.splits.split import packaged_list
from sketchclip.pretrained.model import FROZEN, load_model
from sketchclip.search.demo.columns import Column
from sketchclip.search.demo.server import Example
from sketchclip.search.index import PhotoIndex
from sketchclip.search.update import index_photos

_MINI = "sketchclip-mini"
_EVERY = 8
"""Of the unseen classes, one in so many lends its first doodle as an example."""


def open_indexes(names: Sequence[str], device: str) -> list[Column]:
    """Open indexes with the models that made them.

    Args:
        names: Folders or URIs.
        device: Where the models compute.

    Returns:
        A column each.

    Raises:
        SketchClipError: If there is no such index, or its model is gone.
    """
    columns = []
    for name in names:
        index = PhotoIndex.open(name)
        model = index.load_model(device=device)
        columns.append(Column(f"{name}: {model.name}", index, model))
    return columns


def embedded_columns(models: Sequence[str], device: str) -> list[Column]:
    """Index the photos of the embedded Doodles, of all classes, or take the index of the last time.

    Args:
        models: As for :func:`~sketchclip.pretrained.model.load_model`; ``frozen`` is the small CLIP
            of the package.
        device: Where they compute.

    Returns:
        A column for each model.

    Raises:
        SketchClipError: If there is no such model, or the cache cannot be written.
    """
    root = Doodles().data_root()
    columns = []
    for name in models:
        model = load_model(name, _MINI if name == FROZEN else None, device=device)
        # Another version of the photos and another model have places of their own.
        place = cache_folder() / "indexes" / f"{root.name}-{model.model_hash}"
        index_photos([root / "photo"], model, str(place))
        columns.append(Column(model.name, PhotoIndex.open(str(place)), model))
    return columns


def examples() -> list[Example]:
    """Doodles of unseen classes to try: not chosen by what they find."""
    doodles = read_doodles()
    unseen = packaged_list(str(Doodles.default_split), "unseen")
    return [(name, doodles[name][0]) for name in unseen[::_EVERY]]
