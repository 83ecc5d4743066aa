"""Systems before CLIP: those of the paper's main table, on any encoder."""

from sketchclip.methods.earlier.cvae import CAAE, CVAE
from sketchclip.methods.earlier.doodle2search import Doodle2Search
from sketchclip.methods.earlier.iiae import IIAE

__all__ = ["CAAE", "CVAE", "IIAE", "Doodle2Search"]
