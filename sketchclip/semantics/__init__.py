"""Meaning of classes, known without their images: vectors of their names.

Names load when they are first used: class names as words are needed where PyTorch is not.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
