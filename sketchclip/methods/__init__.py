"""Methods: one small file each, its losses visible in ``training_step``."""

from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.earlier import CAAE, CVAE, IIAE, Doodle2Search
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.methods.fine_grained import FineGrainedPromptLearning
from sketchclip.methods.frozen import FrozenCLIP
from sketchclip.methods.zero_shot import ZeroShotPromptLearning

__all__ = [
    "CAAE",
    "CVAE",
    "IIAE",
    "Doodle2Search",
    "EncodedMethod",
    "FineGrainedPromptLearning",
    "FrozenCLIP",
    "RetrievalModule",
    "ZeroShotPromptLearning",
]
