"""The questions that methods, data modules, search and export ask of any image encoder."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from data_modules.batch import Channels, Preprocessing
from data_modules.ranges import CheckedArguments
from data_modules.transforms import Interpolation, Side
from sketchclip.errors import SketchClipError

Classifier = tuple[Tensor, Tensor]
"""Weight, (C, dim), and bias, (C,), of a linear classifier of embeddings."""


class ImageEncoder(CheckedArguments, nn.Module, ABC):
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
        origin: Name, weights and hash of the pretrained network, whether it stays so or trains on.
        training_classes: Classes of the datasets at hand that it was trained on before.
        training_data: Those datasets and their splits, as checkpoints describe them.
        preprocessing: All steps of its input where it is bound to them; None where the data module
            chooses how images become square.
    """

    frozen: bool
    dim: int
    image_size: int
    mean: Channels
    std: Channels
    interpolation: Interpolation
    origin: dict[str, str]
    training_classes: Sequence[str] = ()
    training_data: Sequence[dict[str, Any]] = ()
    preprocessing: Preprocessing | None = None

    @abstractmethod
    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            side: Side of all images, or of each: 0 for sketches, 1 for photos, shape (B,).

        Returns:
            Embeddings, not normalised, shape (B, dim).
        """

    @property
    def identity(self) -> dict[str, str] | None:
        """The origin of a frozen encoder; None for one that trains, which is no longer that."""
        return self.origin if self.frozen else None

    def classifier(self) -> Classifier:
        """Classifier of the classes that the weights were pretrained on, such as ImageNet's.

        Raises:
            SketchClipError: If there is none.
        """
        raise SketchClipError(
            f"{type(self).__name__} has no classifier of classes that it was pretrained on, which "
            "the method starts from and keeps as its teacher. Expected an encoder with one: "
            "--model.encoder TimmEncoder, CSEResNet or CLIPImageEncoder."
        )

    def prototypes(self) -> nn.Module | None:
        """Head over prototypes, (B, dim) to (B, K), of self-distillation (DINO); None without."""
        return None

    def class_token(self) -> tuple[Tensor, Tensor] | None:
        """Class token and the embedding of its position, (width,) each, of a ViT that embeds by it.

        None for all other networks, which take no second token.
        """
        return None

    def two_tokens(self, images: Tensor, token: Tensor) -> Tensor:
        """Embed images by the class token and by a second one beside it.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).
            token: The second token with its position, (width,).

        Returns:
            Embeddings by the class token and by the second one, (B, 2, dim).
        """
        raise NotImplementedError(f"{type(self).__name__} has no class token.")

    @property
    def patches(self) -> int:
        """Number of patch tokens of an image, for :meth:`tokens`; 0 for networks without them."""
        return 0

    def tokens(self, images: Tensor) -> Tensor:
        """Embed images token by token: the class token and the patches, after the final norm.

        Args:
            images: Normalised RGB, shape (B, 3, H, W).

        Returns:
            Tokens, (B, 1 + patches, dim), patches row by row; the first is the embedding.
        """
        raise NotImplementedError(f"{type(self).__name__} has no patch tokens.")

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but for a frozen encoder."""
        return super().train(mode and not self.frozen)
