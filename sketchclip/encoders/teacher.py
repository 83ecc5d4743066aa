"""A frozen teacher: what an encoder knew before it was trained on sketches (SAKE, TCN)."""

import copy

import torch
from torch import Tensor, nn

from data_modules.transforms import Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.encoders.base import ImageEncoder


class Teacher(nn.Module):
    """Logits of the classes that an encoder was pretrained on, by the encoder as it is now.

    It is in evaluation mode, takes no gradient, and its tensors are in no checkpoint.

    Args:
        encoder: Copied, unless it is frozen and so stays as it is.

    Raises:
        SketchClipError: If the encoder has no classifier.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        weight, bias = encoder.classifier()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.encoder = frozen_copy(encoder)

    @torch.no_grad()
    def forward(self, values: Tensor, side: Side | Tensor, features: bool = False) -> Tensor:
        """Logits (B, C) of images, or of features of the frozen encoder."""
        embedded = values if features else self.encoder(values, side)
        return nn.functional.linear(embedded, self.weight, self.bias)


def frozen_copy(encoder: ImageEncoder) -> ImageEncoder:
    """An encoder as it is now, pretrained and frozen; one that is frozen is itself."""
    return encoder if encoder.frozen else mark_pretrained(copy.deepcopy(encoder))
