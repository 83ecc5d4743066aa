"""Retrieval metrics: a functional core and torchmetrics classes over it."""

from sketchclip.metrics.functional import (
    chance_average_precision,
    rank_relevance,
    retrieval_scores,
)
from sketchclip.metrics.retrieval import CategoryRetrieval

__all__ = [
    "CategoryRetrieval",
    "chance_average_precision",
    "rank_relevance",
    "retrieval_scores",
]
