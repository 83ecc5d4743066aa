"""Two copies of an encoder: one for sketches, one for photos."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from data_modules.transforms import Side
from sketchclip.encoders.base import Classifier, ImageEncoder


class TwinEncoder(ImageEncoder):
    """Sketches and photos have an encoder each, of one kind and with equal weights at the start.

    Args:
        encoder: Encoder to copy.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        for name in (
            *("dim", "image_size", "mean", "std", "interpolation"),
            *("origin", "frozen", "training_classes", "training_data"),
        ):
            setattr(self, name, getattr(encoder, name))
        self.photo_encoder = copy.deepcopy(encoder)

    def classifier(self) -> Classifier:
        """Classifier of the encoder that both are copies of."""
        return self.encoder.classifier()

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of one side, or of both, (B, 3, H, W) to (B, dim)."""
        return by_side(self._embed, images, side)

    def _embed(self, images: Tensor, side: Side) -> Tensor:
        found: Tensor = (self.encoder if side == "sketch" else self.photo_encoder)(images, side)
        return found


def by_side(embed: Callable[[Tensor, Side], Tensor], images: Tensor, side: Side | Tensor) -> Tensor:
    """Embed images whose sides may differ with a function of one side.

    Args:
        embed: Embeds images (B, 3, H, W) of a side as (B, D).
        images: Shape (B, 3, H, W).
        side: Side of all images, or of each: 0 for sketches, 1 for photos, shape (B,).

    Returns:
        Embeddings in the order of the images, (B, D).
    """
    if not isinstance(side, Tensor):
        return embed(images, side)
    is_photo = side.bool()
    chosen: dict[Side, Tensor] = {"sketch": ~is_photo, "photo": is_photo}
    parts = [embed(images[rows], name) for name, rows in chosen.items() if rows.any()]
    order = torch.cat([rows.nonzero().flatten() for rows in chosen.values()])
    return torch.cat(parts)[order.argsort()]
