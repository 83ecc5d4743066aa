"""Ranking in two stages: by vectors, then by a score of pairs among the first of each query.

A score of pairs may cost a network's forward for each sketch and photo. The vectors, one an image,
rank the whole gallery; the score puts the first of each query in order, and the rest stays behind
them in the order of the vectors. Equal scores keep that order, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sketchclip.metrics.vectors import Score, Similarity, as_product

VALUES = 1 << 23
"""Numbers of states, 32 MB in fp32, that a block of pairs holds at most."""


@dataclass(frozen=True)
class TwoStages:
    """Ranking by a score of pairs behind a shortlist by vectors.

    Attributes:
        score: Maps query states (q, ...) and gallery states (g, ...) to scores (q, g), higher is
            nearer.
        vector: Maps states to vectors (B, D).
        similarity: Similarity of the vectors.
        shortlist: Photos of each query that the score orders; 0 for all.
        name: Name of the score in results.
    """

    score: Score
    vector: Callable[[Tensor], Tensor]
    similarity: Similarity = "cosine"
    shortlist: int = 0
    name: str = "score"

    def size(self, gallery: int) -> int:
        """Number of photos that the score orders in a gallery of that many."""
        return min(self.shortlist or gallery, gallery)

    def describe(self, gallery: int) -> str:
        """Say how a gallery is ranked.

        >>> def score(queries, gallery): ...
        >>> two = TwoStages(score, torch.Tensor, shortlist=1000, name="rn")
        >>> two.describe(1000), two.describe(1001)
        ('rn, all pairs scored', 'rn@1000')
        """
        size = self.size(gallery)
        return f"{self.name}@{size}" if size < gallery else f"{self.name}, all pairs scored"

    def ranks(self, queries: Tensor, gallery: Tensor, all_pairs: bool = False) -> Tensor:
        """Rank a gallery; equal photos keep their order.

        Args:
            queries: States, shape (q, ...).
            gallery: States, shape (G, ...).
            all_pairs: Whether to score all photos, whatever the shortlist is.

        Returns:
            Rank of each photo from 0, fp32, (q, G); NaN for a query with a score that is NaN or
            infinite.
        """
        count = len(gallery) if all_pairs else self.size(len(gallery))
        sides = self.vector(queries), self.vector(gallery)
        left = as_product(sides[0], self.similarity, "query")
        near = left @ as_product(sides[1], self.similarity, "gallery").T
        order = near.argsort(dim=1, descending=True, stable=True)
        first = order[:, :count]
        if count == len(gallery):
            scores = self.score(queries, gallery).float().gather(1, first)
        else:
            rows = [self._scores(queries[i : i + 1], gallery, at) for i, at in enumerate(first)]
            scores = torch.cat(rows)
        again = scores.argsort(dim=1, descending=True, stable=True)
        order = torch.cat([first.gather(1, again), order[:, count:]], dim=1)
        places = torch.arange(len(gallery), dtype=torch.float32, device=order.device)
        ranks = torch.empty_like(near, dtype=torch.float32).scatter_(
            1, order, places.expand_as(near)
        )
        known = torch.isfinite(scores).all(1) & torch.isfinite(near).all(1)
        return ranks.masked_fill(~known[:, None], torch.nan)

    def _scores(self, query: Tensor, gallery: Tensor, chosen: Tensor) -> Tensor:
        """Scores (1, n) of one query and the photos at n positions, which are copied in blocks."""
        parts = chosen.split(block_size(gallery))
        return torch.cat([self.score(query, gallery[part]).float() for part in parts], dim=1)


def block_size(*sides: Tensor) -> int:
    """Pairs of states in a block; of each side's (B, ...) one makes a pair."""
    return max(1, VALUES // sum(side[0].numel() for side in sides))


def score_in_blocks(
    score_pairs: Callable[[Tensor, Tensor], Tensor], queries: Tensor, gallery: Tensor
) -> Tensor:
    """Score all pairs by a function of matching rows, in blocks of bounded memory.

    Args:
        score_pairs: Maps query states (P, ...) and gallery states (P, ...) to scores (P,).
        queries: States, shape (q, ...).
        gallery: States, shape (g, ...).

    Returns:
        fp32, shape (q, g).

    >>> score_in_blocks(lambda a, b: (a * b).sum(1), torch.eye(2), torch.ones(3, 2))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    scores = torch.empty(len(queries), len(gallery), device=gallery.device)
    flat = scores.view(-1)
    for at in torch.arange(flat.numel(), device=gallery.device).split(block_size(queries, gallery)):
        query, photo = at // len(gallery), at % len(gallery)
        flat[at] = score_pairs(queries[query], gallery[photo]).float()
    return scores
