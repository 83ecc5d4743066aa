"""LightningDataModules: seen/unseen class splits and sketch-photo pairing."""

from data_modules.base import SketchPhotoDataModule
from data_modules.bundled import Doodles, EmojiPairs
from data_modules.folder import SketchPhotoFolder
from data_modules.quickdraw import QuickDraw
from data_modules.sketchy import Sketchy, SketchyBasic
from data_modules.tuberlin import TUBerlin

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
