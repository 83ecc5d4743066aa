"""Image encoders: the interface that methods, data modules and search agree on, and networks."""

from sketchclip.encoders.base import Classifier, ImageEncoder
from sketchclip.encoders.cse_resnet import ConditionalGate, CSEResNet
from sketchclip.encoders.teacher import Teacher
from sketchclip.encoders.timm_encoder import TimmEncoder
from sketchclip.encoders.twins import TwinEncoder

__all__ = [
    "CSEResNet",
    "Classifier",
    "ConditionalGate",
    "ImageEncoder",
    "Teacher",
    "TimmEncoder",
    "TwinEncoder",
]
