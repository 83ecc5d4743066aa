"""Blocks that methods are composed of."""

from sketchclip.nn.adversarial import Discriminator, Generator, call_constant
from sketchclip.nn.composition import compose, describe, for_each_side
from sketchclip.nn.decoders import EdgeDecoder, StrokeDecoder, pen_states, sobel_edges
from sketchclip.nn.fast_weights import (
    Weights,
    adapt_each,
    adapt_to_all,
    call,
    descend,
    differentiable_twice,
    gradient_step,
    parameter_names,
)
from sketchclip.nn.gaussian import GaussianHead, sample_normal
from sketchclip.nn.gradient_reversal import ramp, reverse_gradient
from sketchclip.nn.graph import (
    GraphConvolution,
    LearnedAdjacency,
    gaussian_adjacency,
    normalise_adjacency,
)
from sketchclip.nn.iterative_quantization import IterativeQuantization
from sketchclip.nn.moving_centres import ClassCentres, TeacherCentres
from sketchclip.nn.projection import JigsawSolver, Projection, PrototypeHead
from sketchclip.nn.random_crops import random_crops
from sketchclip.nn.semantic_autoencoder import SemanticAutoencoder
from sketchclip.nn.side_batch_norm import SideBatchNorm
from sketchclip.nn.spatial_attention import SpatialAttention
from sketchclip.nn.svd_head import inherit_classifier, split_classifier
from sketchclip.nn.traits import DynamicLinear, TraitNetwork

__all__ = [
    "ClassCentres",
    "Discriminator",
    "DynamicLinear",
    "EdgeDecoder",
    "GaussianHead",
    "Generator",
    "GraphConvolution",
    "IterativeQuantization",
    "JigsawSolver",
    "LearnedAdjacency",
    "Projection",
    "PrototypeHead",
    "SemanticAutoencoder",
    "SideBatchNorm",
    "SpatialAttention",
    "StrokeDecoder",
    "TeacherCentres",
    "TraitNetwork",
    "Weights",
    "adapt_each",
    "adapt_to_all",
    "call",
    "call_constant",
    "compose",
    "descend",
    "describe",
    "differentiable_twice",
    "for_each_side",
    "gaussian_adjacency",
    "gradient_step",
    "inherit_classifier",
    "normalise_adjacency",
    "parameter_names",
    "pen_states",
    "ramp",
    "random_crops",
    "reverse_gradient",
    "sample_normal",
    "sobel_edges",
    "split_classifier",
]
