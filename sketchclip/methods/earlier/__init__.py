"""Systems before CLIP: those of the paper's main table, on any encoder."""

from sketchclip.methods.earlier.cc_dg import CCDG
from sketchclip.methods.earlier.cross_grad import CrossGrad
from sketchclip.methods.earlier.cvae import CAAE, CVAE
from sketchclip.methods.earlier.doodle2search import Doodle2Search
from sketchclip.methods.earlier.iiae import IIAE
from sketchclip.methods.earlier.pskd import PSKD
from sketchclip.methods.earlier.sake import SAKE
from sketchclip.methods.earlier.sem_pcyc import SEMPCYC
from sketchclip.methods.earlier.sketch3t import Sketch3T
from sketchclip.methods.earlier.sketch_gcn import SketchGCN
from sketchclip.methods.earlier.tcn import TCN
from sketchclip.methods.earlier.tvt import TVT

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
