"""The first photos of each query of a block: what pictures of results show."""

import numpy as np
from torch import Tensor

_CACHED = 1 << 17  # scores that a thread works on at a time
_MEMBERS = 64  # columns of a group


def nearest(distances: Tensor, order: np.ndarray, k: int) -> np.ndarray:
    """Gallery positions of the k nearest photos, nearest first.

    Only the few columns that may be among them are ordered, a small part of ranking the row.

    Args:
        distances: Finite negative scores, shape (q, G), on the CPU.
        order: Gallery position of each column, which decides among equal scores, (G,).
        k: Number of photos, at most G.

    Returns:
        int64, shape (q, k).

    Example:
        >>> nearest(Tensor([[.3, .1, .3, .2]]), np.array([3, 2, 1, 0]), 3)
        array([[2, 0, 1]])
    """
    rows = max(1, _CACHED // distances.shape[1])
    parts = [_chunk(distances[a : a + rows], order, k) for a in range(0, len(distances), rows)]
    return np.concatenate(parts) if parts else np.empty((0, k), np.int64)


def _chunk(distances: Tensor, order: np.ndarray, k: int) -> np.ndarray:
    scores = distances.numpy()
    row, column = np.divmod(np.flatnonzero(scores <= _limit(scores, k)), scores.shape[1])
    position = order[column]
    ranked = np.lexsort((position, scores[row, column], row))
    start = np.searchsorted(row, np.arange(len(distances)))
    return np.asarray(position[ranked[start[:, None] + np.arange(k)]], dtype=np.int64)


def _limit(scores: np.ndarray, k: int) -> np.ndarray:
    """A score for each row that k columns or a few more do not exceed, (q, 1).

    k groups of columns hold a score up to the k-th smallest of the groups' minima. Minima take one
    pass, and selecting among them is cheap.
    """
    width = scores.shape[1]
    members = max(1, min(_MEMBERS, width // (4 * k)))
    groups = width // members
    minima = scores[:, : members * groups].reshape(len(scores), members, groups).min(axis=1)
    return np.asarray(np.partition(minima, k - 1, axis=1)[:, k - 1 : k])
