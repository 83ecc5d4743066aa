"""Systems after the paper."""

from sketchclip.methods.later.marl import MARL
from sketchclip.methods.later.mcc import MCC

__all__ = ["MARL", "MCC"]
