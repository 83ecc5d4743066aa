"""Methods: one small file each, its losses visible in ``training_step``."""

from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.fine_grained import FineGrainedPromptLearning
from sketchclip.methods.frozen import FrozenCLIP
from sketchclip.methods.zero_shot import ZeroShotPromptLearning

__all__ = [
    "FineGrainedPromptLearning",
    "FrozenCLIP",
    "RetrievalModule",
    "ZeroShotPromptLearning",
]
