"""Image encoders: the interface that methods, data modules and search agree on, and networks."""

from sketchclip.encoders.base import Classifier, ImageEncoder
from sketchclip.encoders.cse_resnet import ConditionalGate, CSEResNet
from sketchclip.encoders.prototypes import load_prototypes
from sketchclip.encoders.teacher import Teacher, frozen_copy
from sketchclip.encoders.timm_encoder import TimmEncoder
from sketchclip.encoders.twins import TwinEncoder
from sketchclip.encoders.two_tokens import TwoTokens

__all__ = [
    "CSEResNet",
    "Classifier",
    "ConditionalGate",
    "ImageEncoder",
    "Teacher",
    "TimmEncoder",
    "TwinEncoder",
    "TwoTokens",
    "frozen_copy",
    "load_prototypes",
]
