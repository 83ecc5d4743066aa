"""The questions that data modules, search and export ask of any image encoder."""

from typing import Protocol

from torch import Tensor

from data_modules.batch import Channels
from data_modules.transforms import Interpolation, Side


class ImageEncoder(Protocol):
    """Embeds sketches and photos; CLIP's towers answer the same questions.

    Attributes:
        dim: Numbers of an embedding.
        image_size: Side of the square input in pixels.
        mean: Mean of each channel in [0, 1], subtracted.
        std: Standard deviation of each channel, divided by.
        interpolation: Interpolation of resizing.
        identity: Name, weights and hash of what is pretrained in it; None if nothing is.
    """

    @property
    def dim(self) -> int: ...  # noqa: D102

    @property
    def image_size(self) -> int: ...  # noqa: D102

    @property
    def mean(self) -> Channels: ...  # noqa: D102

    @property
    def std(self) -> Channels: ...  # noqa: D102

    @property
    def interpolation(self) -> Interpolation: ...  # noqa: D102

    @property
    def identity(self) -> dict[str, str] | None: ...  # noqa: D102

    def forward(self, images: Tensor, side: Side) -> Tensor:
        """Embed normalised images (B, 3, H, W) of one side as (B, dim)."""
        ...
