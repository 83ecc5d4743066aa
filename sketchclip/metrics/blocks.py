"""Metrics of a block of queries on the CPU, computed from its scores by sorting."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sketchclip.metrics.definitions import (
    average_precision_all,
    average_precisions_at,
    definition_names,
    precision_at,
    precision_at_relevant,
    relevance_at_the_top,
)
from sketchclip.metrics.fast_ranking import Ranker
from sketchclip.metrics.nearest import nearest
from sketchclip.metrics.ranking import Groups, class_ranks


@dataclass(frozen=True)
class BlockMetrics:
    """Metrics of any block of scores; blocks are independent of each other, so threads share it.

    Attributes:
        groups: Labels of both sides.
        goal: Column of each query's own photo, -1 for none, (Q,); None at category level.
        precision_k: Cut-offs of P@k.
        map_k: Cut-offs of mAP@k.
        top_k: The largest of them, at most the gallery.
        ranker: Finder of ranks in blocks on the CPU.
        nearest: Number of first photos to name, at most the gallery.
    """

    groups: Groups
    goal: np.ndarray | None
    precision_k: tuple[int, ...]
    map_k: tuple[int, ...]
    top_k: int
    ranker: Ranker
    nearest: int = 0

    def __call__(
        self, distances: Tensor, first: int, within: Tensor | None = None
    ) -> dict[str, np.ndarray]:
        """Metrics of consecutive queries by name, each (q,); ``nearest`` (q, nearest).

        Args:
            distances: Negative scores, or ranks, (q, G).
            first: Number of the first query.
            within: Those that decide within the class of each query, where they are others, (q, G).
        """
        count = self.groups.block(first, len(distances)).count
        ranks = self.ranker.ranks(distances.contiguous().numpy(), first)
        top = relevance_at_the_top(ranks, count, self.top_k)
        values = {"mAP@all": average_precision_all(ranks, count)}
        for k in self.map_k:
            found = average_precisions_at(top, count, k).values()
            values |= dict(zip(definition_names([k]), found, strict=True))
        for k in self.precision_k:
            values[f"P@{k}"] = precision_at(top, k)
            values[f"P@{k}_relevant"] = precision_at_relevant(top, count, k)
        start = np.cumsum(count) - count  # of each query in ranks
        if self.goal is not None:
            goal = self.goal[first : first + len(count)]
            own = class_ranks(distances, self.groups, first, goal)
            of_class = own
            if within is not None:
                of_class = class_ranks(within, self.groups, first, goal)
            values["rank"] = np.where(own > 0, of_class, np.nan)
            values["rank_all"] = _ranks_at(ranks, start + own - 1, own > 0)
        if self.nearest:
            values["rank_first"] = _ranks_at(ranks, start, count > 0)
            values["nearest"] = nearest(distances, self.groups.order, self.nearest)
        return values


def _ranks_at(ranks: np.ndarray, position: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rank at a position for each query, NaN where it is not known."""
    found = np.full(len(known), np.nan)
    found[known] = ranks[position[known]]
    return found
