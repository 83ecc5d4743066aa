"""Sketchy: 75,481 sketches of 12,500 photos, extended by 60,502 photos, 125 classes."""

from collections.abc import Sequence
from typing import ClassVar

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol
from data_modules.listing.layouts import PLAIN, Layout
from data_modules.splits.dataset_files import DatasetFiles
from data_modules.splits.published import Published

_OWN = ("256x256/", "rendered_256x256/256x256/")
_READY_BASE = ("256x256/photo/tx_*_ready", "256x256/photo/tx_*")
_BASE = tuple(f"{top}photo/tx_*" for top in _OWN)
_EXTENDED = ("EXTEND_image_sketchy", "EXTEND_image_sketchy_ready")

_ORIGINAL = Layout("Sketchy's own", tuple(f"{top}sketch/tx_*" for top in _OWN), _BASE)
_READY = Layout("SAKE, ZSE-SBIR", ("256x256/sketch/tx_*_ready",), _READY_BASE)
_SEM_PCYC = Layout("sem-pcyc", ("sketch/tx_*", "sketch/tx_*_ready"), ("photo/tx_*", *_READY_BASE))
_DOODLE2SEARCH = Layout("doodle2search", ("Sketchy/sketch/tx_*",), ("Sketchy/photo/tx_*",))


def _extended(layout: Layout, *photos: str) -> Layout:
    return Layout(f"{layout.name}, extended", layout.sketches, photos, layout.photos)


class Sketchy(SketchPhotoDataModule):
    """Sketchy (Sangkloy et al. 2016) with the extended photos (Liu et al. 2017), where unpacked.

    The extended photos already hold all but one of the 12,500 base photos. Where both folders are
    there, a base photo joins only if no extended one of its class has its name, so that each photo
    is in the gallery once.
    """

    layouts: ClassVar[Sequence[Layout]] = (
        _extended(_READY, *_EXTENDED[::-1]),
        _extended(_ORIGINAL, *_EXTENDED),
        _extended(_SEM_PCYC, "extended/photo", "extended_photo", *_EXTENDED),
        _extended(_DOODLE2SEARCH, *_EXTENDED),
        _READY,
        _ORIGINAL,
        _SEM_PCYC,
        _DOODLE2SEARCH,
        PLAIN,
    )
    default_split = "sketchy_104_21"
    protocol = Protocol(precision_k=(100, 200), map_k=(200,))
    # Counted on the file lists of ZSE-SBIR: 73,002 extended photos and 12,500 base photos. The
    # name of one base photo, camel/n02437136_5405.jpg, is not among the extended ones, so the
    # union of both folders is one more; camel is unseen in 100/25. (The extended folder has a
    # camel/c.jpg that may be this photo; names alone are compared.)
    published: ClassVar[dict[str, Published]] = {
        "sketchy_104_21": Published(12_694, 10_453, 75_481, 73_003),
        "sketchy_104_21, extended photos alone": Published(12_694, 10_453, 75_481, 73_002),
        "sketchy_104_21, base photos alone": Published(12_694, 2_100, 75_481, 12_500),
        "sketchy_104_21, zse_dup": Published(12_694, 12_553, 75_481, 85_502),
        "sketchy_100_25": Published(15_229, 14_602, 75_481, 73_003),
        "sketchy_100_25, extended photos alone": Published(15_229, 14_601, 75_481, 73_002),
        "sketchy_100_25, base photos alone": Published(15_229, 2_500, 75_481, 12_500),
        "sketchy_100_25, zse_dup": Published(15_229, 17_101, 75_481, 85_502),
    }

    def published_key(self, split: str, gallery: str, files: DatasetFiles) -> str:
        """Key by the photo folders that are there and the gallery."""
        _, photos, base = files.sides
        if gallery == "zse_dup":
            return f"{split}, zse_dup"
        if base:
            return split
        # Extended photos beyond the base ones are named ext_<n>.jpg.
        extended = any(p.name.startswith("ext_") for files in photos.values() for p in files)
        return f"{split}, {'extended' if extended else 'base'} photos alone"


class SketchyBasic(Sketchy):
    """Sketchy with its 12,500 base photos alone, each the subject of its sketches.

    The set of fine-grained retrieval: 2,100 photos of the 21 unseen classes.
    """

    layouts = (_READY, _ORIGINAL, _SEM_PCYC, _DOODLE2SEARCH, PLAIN)
    protocol = Protocol("base photos of unseen classes, mAP@k strict", (200,), (100, 200), True)

    def published_key(self, split: str, gallery: str, files: DatasetFiles) -> str:
        """Key of the base photos, which the folder must hold."""
        return f"{split}, base photos alone"
