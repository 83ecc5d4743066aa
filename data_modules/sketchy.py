"""Sketchy: 75,481 sketches of 12,500 photos, extended by 60,502 photos, 125 classes."""

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol


class Sketchy(SketchPhotoDataModule):
    """Sketchy (Sangkloy et al. 2016), extended gallery (Liu et al. 2017) where it is unpacked.

    ``EXTEND_image_sketchy`` already holds the 12,500 base photos, so it is used alone.
    """

    layouts = tuple(
        (f"256x256/sketch/tx_000000000000{ready}", photo)
        for photo in ("EXTEND_image_sketchy_ready", "EXTEND_image_sketchy")
        for ready in ("_ready", "")
    ) + tuple(
        (f"{top}sketch{tx}", f"{top}photo{tx}")
        for top in ("256x256/", "")
        for tx in ("/tx_000000000000_ready", "/tx_000000000000", "")
    )
    default_split = "sketchy_104_21"
    protocol = Protocol(precision_k=(100, 200), map_k=(200,))
