from .base import RetrievalModule
from .earlier.cc_dg import CCDG
from .earlier.cross_grad import CrossGrad
from .earlier.cvae import CAAE, CVAE
from .earlier.doodle2search import Doodle2Search
from .earlier.iiae import IIAE
from .earlier.pskd import PSKD
from .earlier.sake import SAKE
from .earlier.sem_pcyc import SEMPCYC
from .earlier.sketch3t import Sketch3T
from .earlier.sketch_gcn import SketchGCN
from .earlier.tcn import TCN
from .earlier.tvt import TVT
from .encoded import EncodedMethod
from .fine_grained import FineGrainedPromptLearning
from .frozen import FrozenCLIP, FrozenEncoder
from .later.marl import MARL
from .later.mcc import MCC
from .later.splip import SpLIP, SpLIPFineGrained
from .later.zse import ZSESBIR, ZSESBIRFineGrained
from .seen_classes import SeenClassClassifier
from .self_distillation import SelfDistillation
from .zero_shot import ZeroShotPromptLearning

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
