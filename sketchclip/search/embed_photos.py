"""From files to rows of an index: read ahead in threads, embed in full batches."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.images.decode import UnreadableImageError
from data_modules.prepared.reader import FileReader
from data_modules.prepared.store import digest_of
from sketchclip.errors import is_systemic
from sketchclip.pretrained.model import BATCH, SearchModel
from sketchclip.search.engine import VectorEngine
from sketchclip.search.photos import Photo

STATE = ("size", "mtime", "class_name", "digest")

Known = Mapping[str, tuple[Any, ...]]
"""Record of a photo in the index, by its id: the columns of ``STATE``."""

_ROWS = 4096
"""Largest number of photos in a part."""

_AHEAD = 4 * BATCH


@dataclass
class SeenPhoto:
    """A file that has been looked at.

    Attributes:
        photo: The file.
        digest: Hash of its content; empty if it cannot be read.
        image: uint8 RGB, shape (size, size, 3), until it is embedded.
        like: Id of an indexed photo of the same content, whose vector holds for this one.
        vector: fp32, shape (dim,).
        state: What a score of the method's own compares, fp32, flat; None without one.
        error: Why it cannot be read.
    """

    photo: Photo
    digest: str = ""
    image: np.ndarray | None = None
    like: str | None = None
    vector: np.ndarray | None = None
    state: np.ndarray | None = None
    error: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """Columns of the photo in the index."""
        return {"photo": self.photo.id, "digest": self.digest, **asdict(self.photo)}


def is_same(photo: Photo, known: Known) -> bool:
    """Whether a photo is in the index and neither its size nor its time of change differs."""
    state = known.get(photo.id)
    return state is not None and state[:3] == (photo.size, photo.mtime, photo.class_name)


def embedded(
    photos: Sequence[Photo],
    model: SearchModel,
    engine: VectorEngine,
    known: Known,
    readers: int,
    every: float,
    step: Callable[[], object],
) -> Iterator[list[SeenPhoto]]:
    """Read and embed photos; yield parts to commit in their order.

    Threads, not processes: decoders and hashes let go of Python's lock, a killed run leaves no
    process behind, and the engine's own threads do not survive a fork. A part is yielded every
    ``every`` seconds at least; ``step`` is called for every photo that has been looked at.
    """
    reader = FileReader(model.preprocessing.fit)
    # Rows of the photos themselves may be overwritten before another one asks for their vector.
    changing = {photo.id for photo in photos}
    by_digest = {state[3]: id for id, state in known.items() if id not in changing}

    def look(photo: Photo) -> SeenPhoto:
        try:
            digest, own = digest_of(Path(photo.path)), known.get(photo.id)
            like = photo.id if own and own[3] == digest else by_digest.get(digest)
            if like is not None:
                return SeenPhoto(photo, digest, like=like)
            return SeenPhoto(photo, digest, reader(Path(photo.path)))
        except UnreadableImageError as error:
            return SeenPhoto(photo, error=str(error))
        except OSError as error:
            if is_systemic(error):
                raise  # all that follow would be passed over, and leave the index
            return SeenPhoto(photo, error=f"Cannot read {photo.path} ({error.strerror or error}).")

    part: list[SeenPhoto] = []
    images: list[SeenPhoto] = []
    last = time.monotonic()
    with ThreadPoolExecutor(readers) as pool:
        for item in _ahead(pool, look, photos):
            part.append(item)
            step()
            if item.image is not None:
                images.append(item)
            full = len(part) >= _ROWS or time.monotonic() - last > every
            if len(images) == BATCH or (full and images):
                _embed(images, model)
                images = []
            if full:
                yield _with_known_vectors(part, engine)
                part, last = [], time.monotonic()
        if images:
            _embed(images, model)
        if part:
            yield _with_known_vectors(part, engine)


def _ahead(
    pool: ThreadPoolExecutor, look: Callable[[Photo], SeenPhoto], photos: Sequence[Photo]
) -> Iterator[SeenPhoto]:
    """Results in order, with a bounded number of them in memory."""
    pending: deque[Future[SeenPhoto]] = deque()
    for photo in photos:
        pending.append(pool.submit(look, photo))
        if len(pending) >= _AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _embed(items: Sequence[SeenPhoto], model: SearchModel) -> None:
    """Give items their vectors and states.

    Batches are always full: the last bits of a product depend on its size, and a photo's vector is
    not to depend on where a run was interrupted.
    """
    images = [item.image for item in items if item.image is not None]
    vectors, states = model.indexed([*images, *images[:1] * (BATCH - len(images))])
    for at, item in enumerate(items):
        item.image, item.vector = None, vectors[at]
        item.state = None if states is None else states[at]


def _with_known_vectors(part: list[SeenPhoto], engine: VectorEngine) -> list[SeenPhoto]:
    wanted = sorted({item.like for item in part if item.like is not None})
    rows = engine.get(wanted, vectors=True) if wanted else []
    known = {row["photo"]: row for row in rows}
    for item in part:
        if item.like is not None:
            row = known[item.like]
            item.vector = np.array(row["vector"], np.float32)
            item.state = np.array(row["state"], np.float32) if "state" in row else None
    return part
