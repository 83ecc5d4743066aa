"""CLIP's text encoder as a network that trains."""

import copy
from collections.abc import Sequence

import open_clip
import torch
from torch import Tensor, nn

from sketchclip.checkpoint import mark_pretrained
from sketchclip.clip.backbone import CLIPModel


class CaptionEncoder(nn.Module):
    """A copy of CLIP's text encoder and its temperature, all of whose weights train.

    Args:
        clip: The frozen model, whose vision tower is left out.
        logit_scale: Logarithm of the inverse temperature at the start; None for the model's own.
    """

    tokens: Tensor | None

    def __init__(self, clip: CLIPModel, logit_scale: float | None = None) -> None:
        super().__init__()
        # deepcopy takes what its memo holds for the copy: no weight of the other tower is copied.
        memo: dict[int, object] = {id(clip.visual): None}
        text: CLIPModel = copy.deepcopy(clip, memo)
        self.clip = mark_pretrained(text, [name for name, _ in text.named_parameters()])
        if logit_scale is not None:
            with torch.no_grad():
                self.clip.logit_scale.fill_(logit_scale)
        self.register_buffer("tokens", None, persistent=False)

    def prepare(self, backbone: str, sentences: Sequence[str]) -> None:
        """Tokenize sentences.

        Args:
            backbone: Name of the model, which decides the tokenizer.
            sentences: Sentences that :meth:`forward` embeds by their position.
        """
        tokenizer = open_clip.get_tokenizer(backbone)
        self.tokens = tokenizer(list(sentences)).to(self.clip.logit_scale.device)

    def forward(self, which: Tensor) -> Tensor:
        """Embed sentences, each distinct one once.

        Args:
            which: Positions of sentences, shape (B,), int64.

        Returns:
            Embeddings, not normalised, shape (B, D).
        """
        assert self.tokens is not None  # prepared
        distinct, at = which.unique(return_inverse=True)
        embedded: Tensor = self.clip.encode_text(self.tokens[distinct])
        return embedded[at]
