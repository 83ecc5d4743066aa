"""Blocks that compare the tokens of a sketch with those of a photo."""

from sketchclip.nn.cross.attention import CrossAttention, Swap, UnbiasedLayerNorm
from sketchclip.nn.cross.relation import PatchGrid, RelationHead, TokenMap, cosine_matrix

__all__ = [
    "CrossAttention",
    "PatchGrid",
    "RelationHead",
    "Swap",
    "TokenMap",
    "UnbiasedLayerNorm",
    "cosine_matrix",
]
