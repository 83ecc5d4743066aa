"""Methods: one small file each, its losses visible in ``training_step``.

Names load when they are first used: a run needs one method, and all of them take seconds.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
