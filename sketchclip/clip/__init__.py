"""Prompted CLIP encoders over open_clip."""

from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.mini import MINI_NAME
from sketchclip.clip.towers import PromptedTower

__all__ = ["MINI_NAME", "CLIPEncoderMixin", "PromptedTower"]
