"""Ranks of the relevant photos of a block of queries: all that any retrieval metric needs.

Average precision does not ask which photo stands at a rank, only whether it is relevant. Ranks are
defined here by a stable sort; :mod:`sketchclip.metrics.fast_ranking` finds the same ones sooner.
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


def relevant_ranks(distances: Tensor, groups: Groups, first: int) -> np.ndarray:
    """Rank the relevant photos of consecutive queries; of equal scores the gallery's order decides.

    Args:
        distances: Negative scores (smaller is nearer), fp32, shape (q, G), columns in the order of
            ``groups``; any device.
        groups: Labels of both sides.
        first: Number of the first query.

    Returns:
        Ranks from 1, ascending within a query, one query after the other, int64, shape
        (sum of count,).

    Raises:
        ValueError: If a score is NaN or infinite; ``args[1]`` is the query's number.

    Example:
        >>> groups = Groups.of(np.array([7]), np.array([7, 8, 7, 8]))
        >>> distances = torch.tensor([[.3, .1, .3, .2]])  # of photos 0, 1, 2 and 3
        >>> relevant_ranks(distances[:, groups.order], groups, 0)
        array([3, 4])
    """
    odd = (~torch.isfinite(distances)).any(1).nonzero()
    if len(odd):
        raise ValueError("score is NaN or infinite", first + int(odd[0]))
    block = groups.block(first, len(distances))
    start, count = (
        torch.from_numpy(x).to(distances.device)[:, None] for x in (block.start, block.count)
    )
    # Columns in the gallery's order for the sort, which keeps it among equal scores.
    columns = torch.from_numpy(np.argsort(groups.order)).to(distances.device)
    ranked = columns[torch.sort(distances[:, columns], dim=1, stable=True).indices]
    relevant = (ranked >= start) & (ranked < start + count)
    return np.asarray(relevant.nonzero()[:, 1].cpu()) + 1


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
