"""Two embeddings of an image by one encoder: a fusion token and a distill token (TVT, PSKD)."""

import torch
from torch import Tensor, nn

from data_modules.transforms import Side
from sketchclip.encoders.base import ImageEncoder


class TwoTokens(nn.Module):
    """Fusion and distill embedding of an image.

    In a ViT that trains and embeds by its class token, that token is the fusion token. The distill
    token is a second one beside it, with a position of its own, which starts as a copy of it; both
    leave through the last norm, and in CLIP through its projection. Behind any other encoder, a
    frozen one included, each of both is a linear layer over the embedding, at first the identity.

    Args:
        encoder: Encoder of :meth:`forward`; it is no part of this module.
        distills: Whether the distill embedding is used. If not, a layer over an embedding is made
            for the fusion embedding alone.
    """

    def __init__(self, encoder: ImageEncoder, distills: bool = True) -> None:
        super().__init__()
        found = None if encoder.frozen else encoder.class_token()
        self.heads: nn.ModuleList | None = None
        if found is None:
            self.heads = nn.ModuleList()
            for _ in range(1 + distills):
                head = nn.Linear(encoder.dim, encoder.dim)
                nn.init.eye_(head.weight)
                nn.init.zeros_(head.bias)
                self.heads.append(head)
        else:  # of two dimensions, as weight decay goes by them
            self.token, self.position = (nn.Parameter(part.clone()[None]) for part in found)

    def forward(
        self, encoder: ImageEncoder, values: Tensor, side: Side | Tensor, features: bool = False
    ) -> Tensor:
        """Embed images, or features of a frozen encoder.

        Args:
            encoder: See above.
            values: Images (B, 3, H, W), or features (B, dim).
            side: Side of all, or of each: 0 for sketches, 1 for photos, shape (B,).
            features: Whether values are features.

        Returns:
            Fusion and distill embedding, (B, 2, dim), the latter only where it is made.
        """
        if self.heads is None:
            return encoder.two_tokens(values, (self.token + self.position)[0])
        embedded = values if features else encoder(values, side)
        return torch.stack([head(embedded) for head in self.heads], dim=1)
