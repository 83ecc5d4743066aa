"""What an adaptation may change about a frozen CLIP tower."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from data_modules.ranges import CheckedArguments
from data_modules.transforms import Side


class Adaptation(CheckedArguments, nn.Module):
    """Adds to the two branches of a method what they learn; by itself it adds nothing.

    A subclass keeps its constructor's arguments as attributes of the same names (they go into
    checkpoints), creates its parameters in :meth:`build` and overrides what it changes of the
    forward pass. LayerNorm tuning is the method's ``layer_norm`` and independent of all this.
    """

    everything: ClassVar[bool] = False
    """Whether all weights of the towers train."""
    one_encoder: bool | None = None
    """Whether sketches and photos share all weights of the tower; None: as layer_norm says."""
    reads_prompt: bool = False
    """Whether the first prompt is read out in place of the class token."""

    def build(self, visual: Any) -> None:
        """Create the parameters.

        Args:
            visual: The frozen open_clip tower, for widths; it must not become a submodule.
        """

    def prompts(self, images: Tensor, side: Side) -> Tensor | None:
        """Tokens to append to the patches before ``ln_pre``.

        Args:
            images: Normalised RGB, (B, 3, H, W).
            side: sketch or photo.

        Returns:
            (K, W), or (B, K, W) if they depend on the image; None for no prompts.
        """
        return None

    def deep_prompts(self, side: Side) -> Tensor | None:
        """Tokens that take the prompts' places before blocks 2, 3, ...; (J - 1, K, W) or None."""
        return None

    def each_layer(self, images: Tensor, side: Side) -> tuple[Tensor | None, Tensor | None]:
        """Tokens of block 1 and of blocks 2, 3, ...: those of the two methods above.

        Override where both come from one computation; (J - 1, B, K, W) if they depend on the image.
        """
        return self.prompts(images, side), self.deep_prompts(side)

    def head(self, features: Tensor, side: Side) -> Tensor:
        """Embedding (B, D) of the towers' output (B, D)."""
        return features

    @property
    def only_head(self) -> bool:
        """Whether the tower's output is that of the frozen one, so that it may be computed once."""
        return False


def random_prompts(std: float, *shape: int) -> nn.Parameter:
    """Normally distributed prompts.

    Args:
        std: Standard deviation.
        *shape: Such as (K, W).
    """
    return nn.Parameter(std * torch.randn(*shape))
