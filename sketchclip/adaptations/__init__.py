"""Ways to adapt a frozen CLIP tower; any CLIP-based method takes one by ``class_path``."""

from sketchclip.adaptations.base import Adaptation
from sketchclip.adaptations.conditioned import ConditionedPrompts
from sketchclip.adaptations.coupled import CoupledPrompts
from sketchclip.adaptations.deep import DeepPrompts
from sketchclip.adaptations.full import FullFineTuning
from sketchclip.adaptations.linear import LinearHead
from sketchclip.adaptations.prompts import CommonPrompts, IndependentPrompts

__all__ = [
    "Adaptation",
    "CommonPrompts",
    "ConditionedPrompts",
    "CoupledPrompts",
    "DeepPrompts",
    "FullFineTuning",
    "IndependentPrompts",
    "LinearHead",
]
