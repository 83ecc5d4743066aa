"""Retrieval metrics: a functional core and torchmetrics classes over it.

Names load when they are first used: definitions of metrics are needed where PyTorch is not.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
