"""Scores of a gallery for blocks of queries, one block at a time, and the blocks of a process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from sketchclip.errors import SketchClipError
from sketchclip.metrics.ranking import Groups
from sketchclip.metrics.two_stages import TwoStages
from sketchclip.metrics.vectors import Score, Similarity, as_product

Values = dict[str, np.ndarray]
"""Metrics of consecutive queries by name, (q,)."""


@dataclass(frozen=True)
class Share:
    """The part of the blocks that a process ranks, as many as every other process.

    Attributes:
        rank: Number of the process.
        world: Number of processes.
        group: Of ``torch.distributed``; None for all processes.
    """

    rank: int = 0
    world: int = 1
    group: Any = None

    @classmethod
    def of(cls, group: Any) -> "Share":
        """Share of this process in a group."""
        return cls(dist.get_rank(group), dist.get_world_size(group), group)

    def gather(self, rank_own: Callable[[], dict[int, Values]]) -> dict[int, Values]:
        """Values of all processes by the first query of a block.

        Raises:
            SketchClipError: In every process, if there is one in any.
        """
        if self.world == 1:
            return rank_own()
        own: dict[int, Values] = {}
        told = None
        try:
            own = rank_own()
        except SketchClipError as error:
            told = str(error)
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, (own, told), group=self.group)
        if problem := next((text for _, text in found if text is not None), None):
            raise SketchClipError(problem)
        return {first: values for part, _ in found for first, values in part.items()}


ALL = Share()
"""All blocks, of a process that is alone."""


class ScoreBlocks:
    """Negative scores of a gallery, whose columns are ordered by label, for blocks of queries.

    Args:
        queries: States of the sketches.
        gallery: States of the photos.
        by_label: Order in which the queries are ranked, (Q,).
        groups: Labels of both sides.
        similarity: Of states.
        score: In place of a similarity.
        instances: Whether the place among the photos of a class is wanted.
    """

    def __init__(
        self,
        queries: Tensor,
        gallery: Tensor,
        by_label: np.ndarray,
        groups: Groups,
        similarity: Similarity,
        score: Score | TwoStages | None,
        instances: bool,
    ) -> None:
        self._queries, self._gallery, self._by_label = queries, gallery, by_label
        self._groups, self._similarity, self._score = groups, similarity, score
        self._instances = instances
        self._order = torch.from_numpy(groups.order).to(gallery.device)
        if score is None:
            self._states = as_product(gallery[self._order], similarity, "gallery").T
        self._buffer = torch.empty(0)

    def starts(self, bytes_of_all: int, bytes_of_pair: int, share: Share) -> range:
        """First queries of the blocks of a process.

        They depend on the banks alone, so that any number of processes makes the same products.

        Args:
            bytes_of_all: Bytes of a block.
            bytes_of_pair: Bytes of a query and a photo in it.
            share: Of the process.
        """
        if isinstance(self._score, TwoStages):
            bytes_of_pair *= 8  # ranks are sorted twice
        self._size = max(1, bytes_of_all // (bytes_of_pair * len(self._gallery)))
        return range(share.rank * self._size, len(self._queries), share.world * self._size)

    def scores(self, first: int) -> tuple[Tensor, Tensor | None]:
        """Distances (q, G) of the block that begins with a query, and those within its classes.

        The latter are None where they are the same. The next call overwrites both.
        """
        chosen = torch.from_numpy(self._by_label[first : first + self._size])
        block = self._queries[chosen.to(self._queries.device)]
        with _full_precision():
            if self._score is not None:
                # In the gallery's own order: states may be large, and ties are broken by it.
                return self._scored(self._score, block, first)
            left = as_product(block, self._similarity, "query").neg_()
            if len(self._buffer) < len(block):  # one for all: fresh memory costs time
                self._buffer = left.new_empty(len(block), len(self._gallery))
            distances = self._buffer[: len(block)]
            return torch.mm(left, self._states, out=distances), None

    def _scored(
        self, score: Score | TwoStages, block: Tensor, first: int
    ) -> tuple[Tensor, Tensor | None]:
        gallery, order = self._gallery, self._order
        if not isinstance(score, TwoStages):
            return score(block, gallery).detach().float().neg()[:, order], None
        distances = score.ranks(block, gallery).detach()[:, order]
        if not self._instances or score.size(len(gallery)) == len(gallery):
            return distances, None
        within = distances.clone()
        for row, start, end in self._groups.block(first, len(block)).runs():
            mates = gallery[order[start:end]]
            within[row, start:end] = score.ranks(block[row], mates, True).detach()
        return distances, within

    def error(self, query: int) -> SketchClipError:
        """The error of a query, by its place in the order of ranking, with scores that are none."""
        return SketchClipError(
            f"The scores of query {self._by_label[query]} are NaN or infinite. Check the score "
            "function, and whether the embeddings are too large for fp32."
        )


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products in fp32, whatever ``torch.set_float32_matmul_precision`` allows in training."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)
