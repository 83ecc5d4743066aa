"""Blocks that methods are composed of."""

from sketchclip.nn.composition import compose, describe
from sketchclip.nn.gaussian import GaussianHead, sample_normal
from sketchclip.nn.gradient_reversal import ramp, reverse_gradient
from sketchclip.nn.side_batch_norm import SideBatchNorm
from sketchclip.nn.spatial_attention import SpatialAttention
from sketchclip.nn.svd_head import split_classifier

__all__ = [
    "GaussianHead",
    "SideBatchNorm",
    "SpatialAttention",
    "compose",
    "describe",
    "ramp",
    "reverse_gradient",
    "sample_normal",
    "split_classifier",
]
