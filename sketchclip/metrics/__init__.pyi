from .chance import chance_average_precision
from .functional import retrieval_scores
from .results import RetrievalResults
from .retrieval import CategoryRetrieval, InstanceRetrieval

__all__ = [
    "CategoryRetrieval",
    "InstanceRetrieval",
    "RetrievalResults",
    "chance_average_precision",
    "retrieval_scores",
]
