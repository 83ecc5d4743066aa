"""Retrieval metrics: a functional core and torchmetrics classes over it.

Names load when they are first used: definitions of metrics are needed where PyTorch is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sketchclip.metrics.chance import chance_average_precision
    from sketchclip.metrics.functional import retrieval_scores
    from sketchclip.metrics.results import RetrievalResults
    from sketchclip.metrics.retrieval import CategoryRetrieval, InstanceRetrieval

_MODULES = {
    "CategoryRetrieval": "retrieval",
    "InstanceRetrieval": "retrieval",
    "RetrievalResults": "results",
    "chance_average_precision": "chance",
    "retrieval_scores": "functional",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"sketchclip.metrics.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
