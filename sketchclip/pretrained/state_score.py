"""Scores that a method gives photos of an index by the states that it keeps of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sketchclip.methods.base import RetrievalModule


@dataclass(frozen=True)
class StateScore:
    """Score of a method's own for one sketch and photos of an index.

    Attributes:
        module: The method.
        query: State of the sketch, (1, ...), fp32.
        shape: Shape of the state of a photo.
    """

    module: RetrievalModule
    query: Tensor
    shape: torch.Size

    @property
    def shortlist(self) -> int | None:
        """Photos that evaluation scores for each sketch; 0 for all, None for no such number."""
        return self.module.shortlist

    @torch.inference_mode()
    def __call__(self, states: np.ndarray) -> np.ndarray:
        """Scores (N,) of photos by their states (N, state_width) as an index keeps them."""
        gallery = torch.tensor(states, device=self.query.device).unflatten(1, self.shape)
        return self.module.score(self.query, gallery)[0].float().cpu().numpy()
