"""LightningDataModules: seen/unseen class splits and sketch-photo pairing.

Names load when they are first used: lists of files are needed where PyTorch is not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_modules.base import SketchPhotoDataModule
    from data_modules.bundled import Doodles, EmojiPairs
    from data_modules.folder import SketchPhotoFolder
    from data_modules.quickdraw import QuickDraw
    from data_modules.sketchy import Sketchy, SketchyBasic
    from data_modules.tuberlin import TUBerlin

_MODULES = {
    "Doodles": "bundled",
    "EmojiPairs": "bundled",
    "QuickDraw": "quickdraw",
    "SketchPhotoDataModule": "base",
    "SketchPhotoFolder": "folder",
    "Sketchy": "sketchy",
    "SketchyBasic": "sketchy",
    "TUBerlin": "tuberlin",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"data_modules.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
