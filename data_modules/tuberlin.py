"""TU-Berlin-Extended: 20,000 sketches and 204,489 photos of 250 classes."""

from typing import ClassVar

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol
from data_modules.listing.layouts import PLAIN, Layout
from data_modules.splits.published import Published


class TUBerlin(SketchPhotoDataModule):
    """TU-Berlin-Extended (Eitz et al. 2012; Zhang et al. 2016), 220 seen and 30 unseen classes.

    Two lists of unseen classes circulate: ``tuberlin_sempcyc`` (sem-pcyc, to which the paper's
    README points; default) and ``tuberlin_sake`` (SAKE, ZSE-SBIR).
    """

    layouts = (
        Layout("SAKE, ZSE-SBIR", ("png_ready",), ("ImageResized_ready", "ImageResized")),
        Layout("TU-Berlin's own", ("png", "svg"), ("ImageResized", "ImageResized_ready")),
        Layout("sem-pcyc", ("sketches",), ("images",)),
        PLAIN,
    )
    default_split = "tuberlin_sempcyc"
    protocol = Protocol(precision_k=(100,), map_k=(200,))
    published: ClassVar[dict[str, Published]] = {
        "tuberlin_sempcyc": Published(2_400, 25_708, 20_000, 204_489),
        "tuberlin_sake": Published(2_400, 27_989, 20_000, 204_489),
    }
