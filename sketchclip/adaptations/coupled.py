"""Coupled prompts: one side's prompts are a learned function of the other's."""

from typing import Any

from torch import Tensor, nn

from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.adaptations.base import Adaptation, random_prompts


class CoupledPrompts(Adaptation):
    """K prompts for sketches; a linear layer turns them into those for photos (B-MM, our reading).

    MaPLe (Khattak et al., CVPR 2023) couples text and visual prompts like this; the paper's
    baseline has sketches and photos as its two modalities.

    Trainable: K W + W W + W; 592,896 on ViT-B/32 with K = 3.

    Args:
        n_prompts: Prompt tokens K of each side.
        std: Standard deviation of the initialisation of the sketches' prompts.
    """

    def __init__(self, n_prompts: Count = 3, std: NonNegative = 0.02) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.std = std

    def build(self, visual: Any) -> None:
        """Draw the prompts and the coupling layer, which has PyTorch's initialisation."""
        width = visual.class_embedding.shape[0]
        self.sketch = random_prompts(self.std, self.n_prompts, width)
        self.to_photo = nn.Linear(width, width)

    def prompts(self, images: Tensor, side: Side) -> Tensor:
        """The learned set or its image under the coupling, (K, W)."""
        if side == "sketch":
            return self.sketch
        coupled: Tensor = self.to_photo(self.sketch)
        return coupled
