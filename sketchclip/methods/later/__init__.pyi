from .marl import MARL
from .mcc import MCC
from .splip import SpLIP, SpLIPFineGrained
from .zse import ZSESBIR, ZSESBIRFineGrained

__all__ = ["MARL", "MCC", "ZSESBIR", "SpLIP", "SpLIPFineGrained", "ZSESBIRFineGrained"]
