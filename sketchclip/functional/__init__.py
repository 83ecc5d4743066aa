"""Losses as pure functions of tensors."""

from sketchclip.functional.classification import text_classification_loss
from sketchclip.functional.divergence import f_divergence
from sketchclip.functional.negatives import hardest_negatives, other_class_positions
from sketchclip.functional.patches import draw_permutations, patch_shuffle
from sketchclip.functional.triplet import cosine_distance, triplet_loss

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
