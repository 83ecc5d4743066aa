"""LightningDataModules: seen/unseen class splits and sketch-photo pairing.

Names load when they are first used: lists of files are needed where PyTorch is not.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
