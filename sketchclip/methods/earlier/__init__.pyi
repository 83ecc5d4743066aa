from .cc_dg import CCDG
from .cross_grad import CrossGrad
from .cvae import CAAE, CVAE
from .doodle2search import Doodle2Search
from .iiae import IIAE
from .pskd import PSKD
from .sake import SAKE
from .sem_pcyc import SEMPCYC
from .sketch3t import Sketch3T
from .sketch_gcn import SketchGCN
from .tcn import TCN
from .tvt import TVT

__all__ = [
    "CAAE",
    "CCDG",
    "CVAE",
    "IIAE",
    "PSKD",
    "SAKE",
    "SEMPCYC",
    "TCN",
    "TVT",
    "CrossGrad",
    "Doodle2Search",
    "Sketch3T",
    "SketchGCN",
]
