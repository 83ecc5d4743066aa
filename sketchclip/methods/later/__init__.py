"""Systems after the paper."""

from sketchclip.methods.later.marl import MARL
from sketchclip.methods.later.mcc import MCC
from sketchclip.methods.later.splip import SpLIP, SpLIPFineGrained
from sketchclip.methods.later.zse import ZSESBIR, ZSESBIRFineGrained

__all__ = ["MARL", "MCC", "ZSESBIR", "SpLIP", "SpLIPFineGrained", "ZSESBIRFineGrained"]
