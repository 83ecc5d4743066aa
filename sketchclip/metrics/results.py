"""Results of one evaluation: made once, read by reports, tables and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RetrievalResults:
    """Ranking of a gallery by a set of queries, and every metric of it.

    Attributes:
        metrics: Means over queries by name, and the chance levels beside them.
        values: One value a query of each metric and rank, shape (Q,), fp64; NaN where undefined.
        index: Position of each query in its dataset, (Q,).
        labels: Class of each query, (Q,).
        first: Positions in their dataset of the first photos of each query, (Q, n).
        first_labels: Their classes, (Q, n).
        own: Position of the one photo that each query shows, -1 for none, (Q,); None at category
            level.
        partial: Whether only a part of the gallery was ranked.
        ranking: How a score of pairs ranked it: that all pairs were scored, or the number of a
            shortlist; None where vectors alone were compared.
    """

    metrics: Mapping[str, float]
    values: Mapping[str, np.ndarray]
    index: np.ndarray
    labels: np.ndarray
    first: np.ndarray
    first_labels: np.ndarray
    own: np.ndarray | None
    partial: bool
    ranking: str | None = None

    @property
    def same_class(self) -> np.ndarray:
        """Whether each of the first photos is of the query's class, (Q, n)."""
        return self.first_labels == self.labels[:, None]

    @property
    def hits(self) -> np.ndarray:
        """Whether each of the first photos is what was looked for, (Q, n).

        The own photo of a query that has one, else every photo of its class.
        """
        if self.own is None:
            return self.same_class
        own = self.own[:, None]
        return np.where(own >= 0, self.first == own, self.same_class)
