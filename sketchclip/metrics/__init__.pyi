from .chance import chance_average_precision
from .functional import retrieval_scores
from .generalized import GeneralizedRetrieval
from .results import RetrievalResults
from .retrieval import CategoryRetrieval, InstanceRetrieval
from .two_stages import TwoStages, score_in_blocks

__all__ = [
    "CategoryRetrieval",
    "GeneralizedRetrieval",
    "InstanceRetrieval",
    "RetrievalResults",
    "TwoStages",
    "chance_average_precision",
    "retrieval_scores",
    "score_in_blocks",
]
