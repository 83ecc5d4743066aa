"""QuickDraw-Extended: about 330,000 doodles and 204,000 photos of 110 classes."""

from typing import ClassVar

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol
from data_modules.listing.layouts import PLAIN, Layout
from data_modules.splits.published import Published


class QuickDraw(SketchPhotoDataModule):
    """QuickDraw-Extended (Dey et al. 2019), 80 seen and 30 unseen classes."""

    layouts = (
        Layout(
            "doodle2search",
            ("QuickDraw_sketches_final", "QuickDraw_sketches"),
            ("QuickDraw_images_final", "EXTEND_image_quickdraw"),
        ),
        Layout("sem-pcyc, ZSE-SBIR", ("sketches",), ("images",)),
        PLAIN,
    )
    default_split = "quickdraw_80_30"
    protocol = Protocol(precision_k=(100, 200), map_k=(200,))
    # The totals are published as rounded figures alone.
    published: ClassVar[dict[str, Published]] = {"quickdraw_80_30": Published(92_291, 54_151)}
