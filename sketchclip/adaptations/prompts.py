"""Shallow prompts: learnable tokens at the first layer (VPT-shallow, Jia et al., ECCV 2022)."""

from typing import Any

from torch import Tensor, nn

from data_modules.ranges import Natural, NonNegative
from data_modules.transforms import Side
from sketchclip.adaptations.base import Adaptation, random_prompts


class IndependentPrompts(Adaptation):
    """K prompts for sketches and K others for photos (B-IP; part of the paper's ZS-SBIR model).

    Trainable: 2 K W; 4,608 on ViT-B/32 with K = 3.

    Args:
        n_prompts: Prompt tokens K of each side; 0 for none.
        std: Standard deviation of their initialisation (released code: 1.0). ln_pre rescales
            prompts, so a small value mostly means a larger effective learning rate.
        reads_prompt: Embed the first prompt instead of the class token, as ClipPrompt does by
            mistake; for parity studies.
    """

    def __init__(
        self, n_prompts: Natural = 3, std: NonNegative = 0.02, reads_prompt: bool = False
    ) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.std = std
        self.reads_prompt = reads_prompt and n_prompts > 0

    def build(self, visual: Any) -> None:
        """Draw both sets."""
        shape = (self.n_prompts, visual.class_embedding.shape[0])
        if self.n_prompts:
            self.sketch = random_prompts(self.std, *shape)
            self.photo = random_prompts(self.std, *shape)

    def prompts(self, images: Tensor, side: Side) -> Tensor | None:
        """The side's own, (K, W)."""
        return getattr(self, side) if self.n_prompts else None


class CommonPrompts(Adaptation):
    """K prompts for sketches and photos alike (the paper's FG-ZS-SBIR model).

    Trainable: K W; 2,304 on ViT-B/32 with K = 3.

    Args:
        n_prompts: Prompt tokens K; 0 for none.
        std: Standard deviation of their initialisation.
    """

    def __init__(self, n_prompts: Natural = 3, std: NonNegative = 0.02) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.std = std

    def build(self, visual: Any) -> None:
        """Draw the one set."""
        width = visual.class_embedding.shape[0]
        self.common: nn.Parameter | None = None
        if self.n_prompts:
            self.common = random_prompts(self.std, self.n_prompts, width)

    def prompts(self, images: Tensor, side: Side) -> Tensor | None:
        """The common set, (K, W)."""
        return self.common
