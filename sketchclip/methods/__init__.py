"""Methods: one small file each, its losses visible in ``training_step``."""

from sketchclip.methods.base import RetrievalModule
from sketchclip.methods.earlier import (
    CAAE,
    CCDG,
    CVAE,
    IIAE,
    PSKD,
    SAKE,
    SEMPCYC,
    TCN,
    TVT,
    CrossGrad,
    Doodle2Search,
    Sketch3T,
    SketchGCN,
)
from sketchclip.methods.encoded import EncodedMethod
from sketchclip.methods.fine_grained import FineGrainedPromptLearning
from sketchclip.methods.frozen import FrozenCLIP, FrozenEncoder
from sketchclip.methods.later import (
    MARL,
    MCC,
    ZSESBIR,
    SpLIP,
    SpLIPFineGrained,
    ZSESBIRFineGrained,
)
from sketchclip.methods.seen_classes import SeenClassClassifier
from sketchclip.methods.self_distillation import SelfDistillation
from sketchclip.methods.zero_shot import ZeroShotPromptLearning

__all__ = [
    "CAAE",
    "CCDG",
    "CVAE",
    "IIAE",
    "MARL",
    "MCC",
    "PSKD",
    "SAKE",
    "SEMPCYC",
    "TCN",
    "TVT",
    "ZSESBIR",
    "CrossGrad",
    "Doodle2Search",
    "EncodedMethod",
    "FineGrainedPromptLearning",
    "FrozenCLIP",
    "FrozenEncoder",
    "RetrievalModule",
    "SeenClassClassifier",
    "SelfDistillation",
    "Sketch3T",
    "SketchGCN",
    "SpLIP",
    "SpLIPFineGrained",
    "ZSESBIRFineGrained",
    "ZeroShotPromptLearning",
]
