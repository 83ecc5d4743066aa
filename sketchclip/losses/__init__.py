"""Losses as pure functions of tensors."""

from sketchclip.losses.adaptive import (
    class_margins,
    conditional_jigsaw_loss,
    margin_triplet_loss,
)
from sketchclip.losses.adversarial import lsgan_loss
from sketchclip.losses.alignment import centre_alignment_loss, uniformity_loss
from sketchclip.losses.capacity import capacity_loss, mean_cosine
from sketchclip.losses.classification import (
    instance_to_prototype_loss,
    smoothed_cross_entropy,
    text_classification_loss,
)
from sketchclip.losses.coupling import coupling_penalty
from sketchclip.losses.distillation import (
    correlated_distillation_loss,
    dino_loss,
    distillation_loss,
)
from sketchclip.losses.divergence import f_divergence
from sketchclip.losses.gaussian import kl_normal
from sketchclip.losses.modes import (
    converted,
    mode_loss,
    orthogonality_loss,
    reconstruction_loss,
    shared_semantics_loss,
    weighted_mean,
)
from sketchclip.losses.negatives import hardest_negatives, other_class_positions
from sketchclip.losses.patches import draw_permutations, patch_shuffle, permutation_bank
from sketchclip.losses.relation import euclidean_triplet_loss, relation_loss
from sketchclip.losses.semantic import semantic_batch_hard, semantic_cosine_loss
from sketchclip.losses.strokes import stroke_loss
from sketchclip.losses.traits import code_entropies, reconstruction_ranking_loss
from sketchclip.losses.triplet import cosine_distance, triplet_loss

__all__ = [
    "capacity_loss",
    "centre_alignment_loss",
    "class_margins",
    "code_entropies",
    "conditional_jigsaw_loss",
    "converted",
    "correlated_distillation_loss",
    "cosine_distance",
    "coupling_penalty",
    "dino_loss",
    "distillation_loss",
    "draw_permutations",
    "euclidean_triplet_loss",
    "f_divergence",
    "hardest_negatives",
    "instance_to_prototype_loss",
    "kl_normal",
    "lsgan_loss",
    "margin_triplet_loss",
    "mean_cosine",
    "mode_loss",
    "orthogonality_loss",
    "other_class_positions",
    "patch_shuffle",
    "permutation_bank",
    "reconstruction_loss",
    "reconstruction_ranking_loss",
    "relation_loss",
    "semantic_batch_hard",
    "semantic_cosine_loss",
    "shared_semantics_loss",
    "smoothed_cross_entropy",
    "stroke_loss",
    "text_classification_loss",
    "triplet_loss",
    "uniformity_loss",
    "weighted_mean",
]
