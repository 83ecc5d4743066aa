"""Two copies of an encoder: one for sketches, one for photos."""

import copy

import torch
from torch import Tensor

from data_modules.transforms import Side
from sketchclip.encoders.base import ImageEncoder


class TwinEncoder(ImageEncoder):
    """Sketches and photos have an encoder each, of one kind and with equal weights at the start.

    Args:
        encoder: Encoder to copy.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        for name in ("dim", "image_size", "mean", "std", "interpolation", "identity", "frozen"):
            setattr(self, name, getattr(encoder, name))
        self.photo_encoder = copy.deepcopy(encoder)

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of one side, or of both, (B, 3, H, W) to (B, dim)."""
        if not isinstance(side, Tensor):
            return (self.encoder if side == "sketch" else self.photo_encoder)(images, side)
        is_photo = side.bool()
        found = torch.empty(len(images), self.dim, device=images.device)
        for name, encoder, chosen in (
            ("sketch", self.encoder, ~is_photo),
            ("photo", self.photo_encoder, is_photo),
        ):
            if chosen.any():
                found[chosen] = encoder(images[chosen], name).to(found.dtype)
        return found
