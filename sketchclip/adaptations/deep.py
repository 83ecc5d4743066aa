"""Deep prompts: new tokens at each of the first layers (VPT-deep, Jia et al., ECCV 2022)."""

from typing import Any

from torch import Tensor

from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.adaptations.base import Adaptation, random_prompts
from sketchclip.errors import SketchClipError


class DeepPrompts(Adaptation):
    """K prompts for each side at each of the first J layers (B-Deep, our reading).

    Those of the first layer pass ln_pre as shallow ones do; at layers 2 to J fresh ones take the
    places of what the layer before made of the prompts; behind layer J they stay.

    Trainable: 2 J K W; 41,472 on ViT-B/32 with J = 9 and K = 3.

    Args:
        n_prompts: Prompt tokens K of a layer and side.
        depth: Layers J with prompts of their own; the paper gives none, MaPLe uses 9 of 12.
        std: Standard deviation of their initialisation.
    """

    def __init__(self, n_prompts: Count = 3, depth: Count = 9, std: NonNegative = 0.02) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.depth = depth
        self.std = std

    def build(self, visual: Any) -> None:
        """Draw both sets, (J, K, W) each."""
        layers = len(visual.transformer.resblocks)
        if not 1 <= self.depth <= layers or self.n_prompts < 1:
            raise SketchClipError(
                f"DeepPrompts with n_prompts={self.n_prompts}, depth={self.depth}: expected at "
                f"least one prompt and a depth from 1 to {layers}, the layers of this backbone. "
                f"Set --model.adaptation.depth."
            )
        shape = (self.depth, self.n_prompts, visual.class_embedding.shape[0])
        self.sketch = random_prompts(self.std, *shape)
        self.photo = random_prompts(self.std, *shape)

    def prompts(self, images: Tensor, side: Side) -> Tensor:
        """Those of the first layer, (K, W)."""
        return getattr(self, side)[0]

    def deep_prompts(self, side: Side) -> Tensor:
        """Those of layers 2 to J, (J - 1, K, W)."""
        return getattr(self, side)[1:]
