"""Retrieval metrics: a functional core and torchmetrics classes over it."""

from sketchclip.metrics.chance import chance_average_precision
from sketchclip.metrics.functional import retrieval_scores
from sketchclip.metrics.retrieval import CategoryRetrieval, InstanceRetrieval

__all__ = [
    "CategoryRetrieval",
    "InstanceRetrieval",
    "chance_average_precision",
    "retrieval_scores",
]
