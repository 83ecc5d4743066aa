"""QuickDraw-Extended: about 330,000 doodles and 204,000 photos of 110 classes."""

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol


class QuickDraw(SketchPhotoDataModule):
    """QuickDraw-Extended (Dey et al. 2019), 80 seen and 30 unseen classes."""

    layouts = (
        ("QuickDraw_sketches_final", "QuickDraw_images_final"),
        ("sketches", "images"),
        ("sketch", "photo"),
    )
    default_split = "quickdraw_80_30"
    protocol = Protocol(precision_k=(100, 200), map_k=(200,))
