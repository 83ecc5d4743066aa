"""First photos of every query of a test, in a file small enough to keep with each run."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchclip.errors import SketchClipError

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


def read_rankings(folder: Path) -> Rankings:
    """Read ``rankings.npz`` of a run folder.

    Raises:
        SketchClipError: If it is missing or damaged.
    """
    try:
        with np.load(folder / RANKINGS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("path", "shown", "hit", "own")}
            return Rankings(**arrays, root=Path(str(file["root"])))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SketchClipError(
            f"{folder} holds no rankings ({error}). Expected {RANKINGS}, as 'sketchclip test' "
            "writes it; repeat the test of an older run."
        ) from error
