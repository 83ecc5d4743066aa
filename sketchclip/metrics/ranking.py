"""Ranks of the relevant photos of a block of queries: all that any retrieval metric needs.

Average precision does not ask which photo stands at a rank, only whether it is relevant. Ranks are
those of a stable sort: of equal scores, the order of the gallery decides.
:mod:`sketchclip.metrics.fast_ranking` finds them on a CPU, :mod:`sketchclip.metrics.counting` on a
GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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

    def block(self, first: int, size: int) -> "Groups":
        """Labels of consecutive queries.

        Args:
            first: Number of the first query.
            size: Number of queries.
        """
        span = slice(first, first + size)
        return Groups(self.order, self.start[span], self.count[span])

    def runs(self) -> Iterator[tuple[slice, int, int]]:
        """Neighbouring queries with the same relevant columns, and these columns' start and end."""
        edges = np.flatnonzero((np.diff(self.start) != 0) | (np.diff(self.count) != 0)) + 1
        for low, high in zip([0, *edges], [*edges, len(self.start)], strict=True):
            if low < high:
                start = int(self.start[low])
                yield slice(low, high), start, start + int(self.count[low])


def class_ranks(distances: Tensor, groups: Groups, first: int, goal: np.ndarray) -> np.ndarray:
    """Rank of each query's own photo among the photos of its class, from 1; 0 for none, (q,)."""
    ranks = np.zeros(len(distances), dtype=np.int64)
    column = torch.from_numpy(np.maximum(goal, 0)).to(distances.device)[:, None]
    own = distances.gather(1, column)
    for row, start, end in groups.block(first, len(distances)).runs():
        mates = distances[row, start:end]
        # Columns of a class are in the order of the gallery, which decides among equal scores.
        earlier = torch.arange(start, end, device=mates.device) < column[row]
        before = (mates < own[row]) | ((mates == own[row]) & earlier)
        ranks[row] = np.asarray(before.sum(1).cpu()) + 1
    return np.where(goal >= 0, ranks, 0)
