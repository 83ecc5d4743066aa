"""Blocks that methods are composed of."""

from sketchclip.nn.composition import compose, describe

__all__ = ["compose", "describe"]
