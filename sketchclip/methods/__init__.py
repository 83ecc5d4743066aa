"""Methods: one small file each, its losses visible in ``training_step``."""

from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.frozen import FrozenCLIP
from sketchclip.methods.zero_shot import ZeroShotPromptLearning

__all__ = [
    "FrozenCLIP",
    "RetrievalModule",
    "ZeroShotPromptLearning",
]
