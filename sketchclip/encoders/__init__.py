"""Image encoders: the interface that methods, data modules and search agree on."""

from sketchclip.encoders.base import ImageEncoder

__all__ = ["ImageEncoder"]
