"""TU-Berlin-Extended: 20,000 sketches and 204,489 photos of 250 classes."""

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol


class TUBerlin(SketchPhotoDataModule):
    """TU-Berlin-Extended (Eitz et al. 2012; Zhang et al. 2016), 220 seen and 30 unseen classes.

    Two lists of unseen classes circulate: ``tuberlin_sempcyc`` (sem-pcyc, to which the paper's
    README points; default) and ``tuberlin_sake`` (SAKE, ZSE-SBIR).
    """

    layouts = (("png_ready", "ImageResized_ready"), ("sketches", "images"), ("sketch", "photo"))
    default_split = "tuberlin_sempcyc"
    protocol = Protocol(precision_k=(100,), map_k=(200,))
