"""A linear layer on frozen features."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from data_modules.transforms import Side
from sketchclip.adaptations.base import Adaptation


class LinearHead(Adaptation):
    """Linear(D, D) on the output of the frozen towers (B-Lin).

    With ``layer_norm: none`` nothing below the layer changes, so the features of all training
    images are computed once, before the first epoch, unless a loss needs the images themselves.

    Trainable: D D + D; 262,656 on ViT-B/32, twice that if not shared.

    Args:
        shared: One layer for sketches and photos, or one for each.
        init: identity starts from the frozen model, random has PyTorch's initialisation.
        cache: Compute the features once, where possible.
    """

    def __init__(
        self,
        shared: bool = True,
        init: Literal["identity", "random"] = "identity",
        cache: bool = True,
    ) -> None:
        super().__init__()
        self.shared = shared
        self.init = init
        self.cache = cache

    def build(self, visual: Any) -> None:
        """Create the layer or layers."""
        width = visual.proj.shape[1]
        self.sketch = nn.Linear(width, width)
        self.photo = self.sketch if self.shared else nn.Linear(width, width)
        if self.init == "identity":
            for layer in (self.sketch, self.photo):
                with torch.no_grad():
                    layer.weight.copy_(torch.eye(width))
                    layer.bias.zero_()

    def head(self, features: Tensor, side: Side) -> Tensor:
        """Apply the side's layer."""
        embedding: Tensor = getattr(self, side)(features)
        return embedding

    @property
    def only_head(self) -> bool:
        """Whether features may stand for images: the setting ``cache``."""
        return self.cache
