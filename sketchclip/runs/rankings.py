"""First photos of every query of a test, in a file small enough to keep with each run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.runs.arrays import read_archive

RANKINGS = "rankings.npz"
SHOWN = 10
"""Photos kept of each query."""


@dataclass(frozen=True)
class Rankings:
    """Content of ``rankings.npz``; queries are in the order of ``queries.csv``.

    Attributes:
        path: Photos shown for any query, relative to the data's root, (P,).
        shown: Rows of ``path`` in rank order, (Q, k).
        hit: True where a photo is of the sketch's class, (Q, k).
        own: Row of ``path`` of the photo paired with each sketch, -1 for none, (Q,).
        root: Folder of the data when the test ran.
    """

    path: np.ndarray
    shown: np.ndarray
    hit: np.ndarray
    own: np.ndarray
    root: Path


def write_rankings(
    folder: Path,
    shown: np.ndarray,
    hit: np.ndarray,
    own: np.ndarray | None,
    path_of: Callable[[int], str],
    root: Path,
) -> None:
    """Write ``rankings.npz``.

    Args:
        folder: Folder of the run.
        shown: Gallery index of the first photos of each query, (Q, k).
        hit: True where a photo is of the sketch's class, (Q, k).
        own: Gallery index of the photo paired with each query, -1 for none, (Q,); None without
            pairs.
        path_of: File of a gallery index, relative to the root.
        root: Folder of the data.
    """
    own = np.full(len(shown), -1) if own is None else own
    used = np.unique(np.concatenate([shown.ravel(), own[own >= 0]]))
    np.savez_compressed(
        folder / RANKINGS,
        path=np.array([path_of(int(index)) for index in used], dtype=str),
        shown=np.searchsorted(used, shown).astype(np.int32),
        hit=hit,
        own=np.where(own >= 0, np.searchsorted(used, own), -1).astype(np.int32),
        root=np.array(str(root.resolve())),
    )


def read_rankings(folder: Path, queries: int | None = None) -> Rankings:
    """Read ``rankings.npz`` of a run folder.

    Args:
        folder: Folder of the run.
        queries: Number of rows of queries.csv; None if it does not matter.

    Raises:
        SketchClipError: If it is missing, damaged, or of other queries.
    """
    file = folder / RANKINGS
    if not file.is_file():
        raise SketchClipError(
            f"{folder} holds no rankings. Expected {RANKINGS}, as 'sketchclip test' writes it; "
            "repeat the test of an older run."
        )
    arrays = read_archive(file, ("path", "shown", "hit", "own", "root"))
    root = Path(str(arrays.pop("root")))
    found = Rankings(**arrays, root=root)
    count = found.own.size if queries is None else queries
    rows = found.shown.shape[:1], found.hit.shape[:1], found.own.shape
    shape = found.shown.shape
    whole = len(shape) == 2 and shape[1] > 0 and shape == found.hit.shape
    if rows != ((count,),) * 3 or not whole or found.path.ndim != 1:
        raise SketchClipError(
            f"{file} has the photos of {found.own.size:,} of {count:,} queries: test again."
        )
    for name, low in (("shown", 0), ("own", -1)):
        rows_of_path = getattr(found, name)
        if (
            rows_of_path.dtype.kind not in "iu"
            or not ((rows_of_path >= low) & (rows_of_path < len(found.path))).all()
        ):
            raise SketchClipError(f"{file}: {name} names photos that it does not hold: test again.")
    return found
