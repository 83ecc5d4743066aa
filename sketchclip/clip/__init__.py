"""Prompted CLIP encoders over open_clip."""

from sketchclip.clip.class_text import CLIPText
from sketchclip.clip.encoder import CLIPEncoderMixin
from sketchclip.clip.guided_prompts import TextGuidedPrompts
from sketchclip.clip.image_encoder import CLIPImageEncoder
from sketchclip.clip.mini import MINI_NAME
from sketchclip.clip.towers import PromptedTower

__all__ = [
    "MINI_NAME",
    "CLIPEncoderMixin",
    "CLIPImageEncoder",
    "CLIPText",
    "PromptedTower",
    "TextGuidedPrompts",
]
