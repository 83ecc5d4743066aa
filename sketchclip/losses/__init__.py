"""Losses as pure functions of tensors."""

from sketchclip.losses.classification import text_classification_loss
from sketchclip.losses.divergence import f_divergence
from sketchclip.losses.negatives import hardest_negatives, other_class_positions
from sketchclip.losses.patches import draw_permutations, patch_shuffle
from sketchclip.losses.triplet import cosine_distance, triplet_loss

__all__ = [
    "cosine_distance",
    "draw_permutations",
    "f_divergence",
    "hardest_negatives",
    "other_class_positions",
    "patch_shuffle",
    "text_classification_loss",
    "triplet_loss",
]
