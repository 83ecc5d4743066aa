"""Conditioned prompts: a small net shifts them by what is in the image."""

from typing import Any

import torch
from torch import Tensor, nn

from data_modules.ranges import Count, NonNegative
from data_modules.transforms import Side
from sketchclip.adaptations.base import Adaptation, random_prompts


class ConditionedPrompts(Adaptation):
    """K prompts that both sides share, moved by a small net that sees the image (B-Cond).

    CoCoOp (Zhou et al., CVPR 2022) for visual prompts, our reading: prompt_k + net(f(image)) with
    the frozen embedding f and net = Linear(D, hidden), ReLU, Linear(hidden, W). The frozen tower
    runs once more for each image.

    Trainable: K W + (D + 1) hidden + (hidden + 1) W; 44,064 on ViT-B/32 with K = 3, hidden = 32.

    Args:
        n_prompts: Prompt tokens K.
        hidden: Width of the net's middle layer.
        std: Standard deviation of the prompts' initialisation.
    """

    def __init__(self, n_prompts: Count = 3, hidden: Count = 32, std: NonNegative = 0.02) -> None:
        super().__init__()
        self.n_prompts = n_prompts
        self.hidden = hidden
        self.std = std

    def build(self, visual: Any) -> None:
        """Draw prompts and net."""
        width, embedding = visual.class_embedding.shape[0], visual.proj.shape[1]
        # In a tuple, the frozen tower is no submodule: it belongs to the method.
        self._frozen = (visual,)
        self.common = random_prompts(self.std, self.n_prompts, width)
        self.net = nn.Sequential(
            nn.Linear(embedding, self.hidden), nn.ReLU(), nn.Linear(self.hidden, width)
        )

    def prompts(self, images: Tensor, side: Side) -> Tensor:
        """A set for each image, (B, K, W)."""
        with torch.no_grad():
            features = nn.functional.normalize(self._frozen[0](images).float(), dim=-1)
        shift: Tensor = self.net(features)
        return self.common + shift.unsqueeze(1)
