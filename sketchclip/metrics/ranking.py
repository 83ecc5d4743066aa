"""Ranks of the relevant photos of a block of queries: all that any retrieval metric needs.

Average precision does not ask which photo stands at a rank, only whether it is relevant. So
nothing has to be argsorted. On the CPU each score becomes a 32-bit integer whose lowest bit says
whether the photo is relevant, and these are sorted, which NumPy does with SIMD, more than ten times
faster than an argsort. Where a relevant and an irrelevant photo share all other bits, the few
photos concerned are ordered again by the whole score and their place in the gallery, so that the
result is that of a stable sort, exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_CACHED = 1 << 17  # scores that a thread works on at a time
_LARGEST = np.float32(2**31 * 0.98)  # a key beyond which a score of 1 + rounding does not go
_MANY_TIES = 64  # ambiguous groups in a row from which a stable argsort of the row is cheaper


@dataclass(frozen=True)
class Groups:
    """Labels of both sides, the gallery in the order of its labels.

    Attributes:
        order: Gallery positions by label, original order within a label, (G,).
        start: First column of each query's relevant photos in that order, (Q,).
        count: Number of relevant photos of each query, (Q,).
    """

    order: np.ndarray
    start: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, query_labels: np.ndarray, gallery_labels: np.ndarray) -> "Groups":
        """Group a gallery by label."""
        order = np.argsort(gallery_labels, kind="stable")
        ordered = gallery_labels[order]
        start = np.searchsorted(ordered, query_labels, side="left")
        stop = np.searchsorted(ordered, query_labels, side="right")
        return cls(order, start, stop - start)


class Ranker:
    """Finds the ranks of relevant photos on the CPU; one thread's work.

    Args:
        groups: Labels of both sides.
        bound: 1.0 if all scores are known to be finite and in [-1, 1], as products of finite unit
            vectors are up to rounding: saves two passes. None if not.
    """

    def __init__(self, groups: Groups, bound: float | None = None) -> None:
        self.groups = groups
        self.bound = bound

    def ranks(self, distances: np.ndarray, first: int) -> np.ndarray:
        """Ranks of the relevant photos of consecutive queries.

        Args:
            distances: Negative scores (smaller is nearer), fp32, shape (q, G), columns in the order
                of ``groups``.
            first: Number of the first query.

        Returns:
            Ranks from 1, ascending within a query, one query after the other, int64, shape
            (sum of count,).

        Raises:
            ValueError: If a score is NaN or infinite and no bound was promised; ``args[1]`` is the
                query's number.
        """
        rows = max(1, _CACHED // max(1, distances.shape[1]))
        space = _Workspace(min(rows, len(distances)), distances.shape[1])
        parts = [
            self._chunk(distances[a : a + rows], first + a, space)
            for a in range(0, len(distances), rows)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _chunk(self, scores: np.ndarray, first: int, space: "_Workspace") -> np.ndarray:
        n, width = scores.shape
        start, count = (x[first : first + n] for x in (self.groups.start, self.groups.count))
        keys, bits, flags = space.keys[:n], space.bits[:n], space.flags[:n]
        self._keys(scores, keys, space.scaled[:n], first)
        for row, (low, high) in _runs(start, count):
            keys[row, low:high] |= 1
        keys.sort(axis=1)
        np.bitwise_and(keys, np.int32(1), out=bits)
        np.not_equal(bits, 0, out=flags)
        flat = np.flatnonzero(flags)
        ranks = flat + 1 - np.repeat(np.arange(0, n * width, width), count)
        # Of equal scores the irrelevant come first. A rank of 1 looks at the row before: no harm.
        line = keys.reshape(-1)
        own = line.take(flat)
        ambiguous = line.take(flat - 1, mode="clip") == own - 1
        if ambiguous.any():
            self._order_ties(scores, space.scaled[:n], own, ambiguous, ranks, first)
        return ranks

    def _keys(self, scores: np.ndarray, keys: np.ndarray, scaled: np.ndarray, first: int) -> None:
        """Write even integers in the order of the scores; near ones may coincide."""
        scale: np.ndarray | np.float32 = _LARGEST
        if self.bound is None:
            # A NaN spreads to the maximum.
            most = np.maximum(scores.max(axis=1), -scores.min(axis=1))[:, None]
            odd = np.flatnonzero(~np.isfinite(most))
            if len(odd):
                raise ValueError("score is NaN or infinite", first + int(odd[0]))
            with np.errstate(divide="ignore", over="ignore"):
                scale = np.where(most > 0, _LARGEST / most, _LARGEST).astype(np.float32)
            # The reciprocal of a denormal is infinite; any scale keeps the order.
            scale = np.minimum(scale, np.finfo(np.float32).max)
        np.multiply(scores, scale, out=scaled)
        np.copyto(keys, scaled, casting="unsafe")
        np.bitwise_and(keys, np.int32(-2), out=keys)

    def _order_ties(
        self,
        scores: np.ndarray,
        scaled: np.ndarray,
        own: np.ndarray,
        ambiguous: np.ndarray,
        ranks: np.ndarray,
        first: int,
    ) -> None:
        """Give relevant photos that share a key with an irrelevant one their ranks, in place."""
        count = self.groups.count[first : first + len(scores)]
        ends = np.cumsum(count)
        for i in np.unique(np.searchsorted(ends, np.flatnonzero(ambiguous), side="right")):
            mine = slice(ends[i] - count[i], ends[i])
            begin = self.groups.start[first + i]
            end = begin + count[i]
            ties = own[mine][ambiguous[mine]]
            if len(ties) > _MANY_TIES:
                order = np.lexsort((self.groups.order, scores[i]))
                ranks[mine] = np.flatnonzero((order >= begin) & (order < end)) + 1
                continue
            keys = scaled[i].astype(np.int32) | 1
            for key in ties:
                columns = np.flatnonzero(keys == key)
                columns = columns[np.lexsort((self.groups.order[columns], scores[i, columns]))]
                place = np.flatnonzero((columns >= begin) & (columns < end))
                group = np.flatnonzero(own[mine] == key)
                before = ranks[mine][group[0]] - 1 - (len(columns) - len(place))
                ranks[mine][group] = before + place + 1


def ranks_on_device(distances: Tensor, groups: Groups, first: int) -> np.ndarray:
    """:meth:`Ranker.ranks` where the block is, by a stable sort: for GPUs.

    Args:
        distances: See there; any device.
        groups: Labels of both sides.
        first: Number of the first query.

    Returns:
        See there.

    Raises:
        ValueError: See there.
    """
    odd = (~torch.isfinite(distances)).any(1).nonzero()
    if len(odd):
        raise ValueError("score is NaN or infinite", first + int(odd[0]))
    n = len(distances)
    place = torch.from_numpy(np.argsort(groups.order)).to(distances.device)
    start, count = (
        torch.from_numpy(x[first : first + n]).to(distances.device)[:, None]
        for x in (groups.start, groups.count)
    )
    # The original order of the gallery decides among equal scores.
    column = place[torch.sort(distances[:, place], dim=1, stable=True).indices]
    relevant = (column >= start) & (column < start + count)
    return np.asarray(relevant.nonzero()[:, 1].cpu()) + 1


def class_ranks(distances: Tensor, groups: Groups, first: int, goal: np.ndarray) -> np.ndarray:
    """Rank of each query's own photo among the photos of its class.

    Its rank among all photos needs no second count: it is that of the class's photo at this rank.

    Args:
        distances: Negative scores, shape (q, G), columns in the order of ``groups``.
        groups: Labels of both sides.
        first: Number of the first query.
        goal: Column of each query's own photo, -1 for none, shape (q,).

    Returns:
        int64, shape (q,), from 1; 0 without a photo.
    """
    n = len(distances)
    ranks = np.zeros(n, dtype=np.int64)
    column = torch.from_numpy(np.maximum(goal, 0)).to(distances.device)[:, None]
    own = distances.gather(1, column)
    start, count = (x[first : first + n] for x in (groups.start, groups.count))
    for row, (low, high) in _runs(start, count):
        mates = distances[row, low:high]
        # Columns of a class are in the order of the gallery, which decides among equal scores.
        earlier = torch.arange(low, high, device=mates.device) < column[row]
        before = (mates < own[row]) | ((mates == own[row]) & earlier)
        ranks[row] = np.asarray(before.sum(1).cpu()) + 1
    return np.where(goal >= 0, ranks, 0)


class _Workspace:
    """Buffers of a thread, small enough to stay in its core's cache."""

    def __init__(self, rows: int, width: int) -> None:
        self.keys, self.bits = np.empty((2, rows, width), np.int32)
        self.scaled = np.empty((rows, width), np.float32)
        self.flags = np.empty((rows, width), bool)


def _runs(start: np.ndarray, count: np.ndarray) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Rows that share their relevant columns, as slices, with the columns."""
    edges = np.flatnonzero((np.diff(start) != 0) | (np.diff(count) != 0)) + 1
    for low, high in zip([0, *edges], [*edges, len(start)], strict=True):
        if low < high:
            yield slice(low, high), (int(start[low]), int(start[low] + count[low]))
