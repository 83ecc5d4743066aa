"""How a method ranks photos: what it keeps of images, and how it compares that."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.ranges import CheckedArguments
from data_modules.transforms import Side
from sketchclip.metrics import TwoStages
from sketchclip.metrics.vectors import Score, Similarity, as_product


class RankedModule(CheckedArguments, LightningModule, ABC):
    """Embeds sketches and photos and compares them; evaluation and search do so in the same way.

    Most methods implement :meth:`embed` alone. One with a score of its own overrides :meth:`score`
    and :meth:`vector`, and sets ``shortlist`` where its score is too slow for a whole gallery.
    """

    similarity: Similarity = "cosine"
    """Similarity of embeddings that retrieval ranks by: cosine, euclidean or hamming."""
    shortlist: int | None = None
    """Photos of each query, the nearest by vector, that ``score`` puts in order; 0 for all.

    None for a score that is fast for a whole gallery and needs no vectors in evaluation.
    """
    score_name: str = "score"
    """Name of the score in results, such as ``rn@1000``."""
    test_settings: ClassVar[tuple[str, ...]] = ()
    """Arguments that say how photos are ranked, not how it trains: a test may change them."""
    state_dtype: torch.dtype = torch.float32
    """Type that evaluation keeps states in; half precision for large ones."""

    @abstractmethod
    def embed(self, images: Tensor, side: Side) -> Tensor:
        """Embed images (B, 3, H, W) of one side as (B, D)."""

    def query_state(self, images: Tensor, strokes: Tensor | None = None) -> Tensor:
        """Compute what evaluation keeps of sketches, which have strokes if the method asks."""
        return self.embed(images, "sketch")

    def gallery_state(self, images: Tensor) -> Tensor:
        """Compute what evaluation keeps of a batch of photos; first dimension B."""
        return self.embed(images, "photo")

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Scores (Q, G) of query states against gallery states; higher is nearer.

        Override for a score that depends on the query in another way than ``similarity`` says.
        Evaluation then calls this for blocks of queries and the whole gallery, or with a shortlist
        for each query and its photos. ``score_in_blocks`` of ``sketchclip.metrics`` makes it of a
        score of matching rows, with bounded memory.
        """
        left = as_product(queries, self.similarity, "query")
        return left @ as_product(gallery, self.similarity, "gallery").T

    def vector(self, state: Tensor) -> Tensor:
        """Vectors (B, D) of states, by which a shortlist is made that ``score`` then orders.

        A method that overrides ``score`` overrides this as well to be searched by.
        """
        return state

    @property
    def scores_pairs(self) -> bool:
        """Whether the method ranks by a score of its own."""
        return type(self).score is not RankedModule.score

    @property
    def ranking(self) -> Score | TwoStages | None:
        """Score that evaluation ranks by; None for the similarity, which is a matrix product."""
        if not self.scores_pairs or self.shortlist is None:
            return self.score if self.scores_pairs else None
        kind, size, name = self.similarity, self.shortlist, self.score_name
        return TwoStages(self.score, self.vector, kind, size, name)
