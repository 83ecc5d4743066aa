"""The questions that methods, data modules, search and export ask of any image encoder."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from typing_extensions import Self

from data_modules.batch import Channels
from data_modules.transforms import Interpolation, Side


class ImageEncoder(nn.Module, ABC):
    """Embeds sketches and photos; any method of ``sketchclip.methods.earlier`` takes one.

    A subclass keeps its constructor's arguments as attributes of the same names: they go into
    checkpoints.

    Attributes:
        frozen: Whether it stays as it was pretrained: it is then in evaluation mode, and its
            tensors are in no checkpoint.
        dim: Numbers of an embedding.
        image_size: Side of the square input in pixels.
        mean: Mean of each channel in [0, 1], subtracted.
        std: Standard deviation of each channel, divided by.
        interpolation: Interpolation of resizing.
        identity: Name, weights and hash of what is pretrained and frozen in it; None if nothing is.
    """

    frozen: bool
    dim: int
    image_size: int
    mean: Channels
    std: Channels
    interpolation: Interpolation
    identity: dict[str, str] | None

    @abstractmethod
    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            side: Side of all images, or of each: 0 for sketches, 1 for photos, shape (B,).

        Returns:
            Embeddings, not normalised, shape (B, dim).
        """

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but for a frozen encoder."""
        return super().train(mode and not self.frozen)
