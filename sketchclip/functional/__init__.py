"""Losses as pure functions of tensors."""

from sketchclip.functional.classification import text_classification_loss
from sketchclip.functional.triplet import cosine_distance, triplet_loss

__all__ = ["cosine_distance", "text_classification_loss", "triplet_loss"]
