from .base import SketchPhotoDataModule
from .bundled import Doodles, EmojiPairs
from .folder import SketchPhotoFolder
from .quickdraw import QuickDraw
from .sketchy import Sketchy, SketchyBasic
from .tuberlin import TUBerlin

__all__ = [
    "Doodles",
    "EmojiPairs",
    "QuickDraw",
    "SketchPhotoDataModule",
    "SketchPhotoFolder",
    "Sketchy",
    "SketchyBasic",
    "TUBerlin",
]
