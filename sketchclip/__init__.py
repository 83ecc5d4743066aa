"""sketchclip: CLIP for zero-shot sketch-based image retrieval.

Kept free of imports on purpose: ``sketchclip --help`` must answer without loading PyTorch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sketchclip.pretrained.model import load_model as from_pretrained

__version__ = "0.1.0"
__all__ = ["__version__", "from_pretrained"]


def __getattr__(name: str) -> Any:
    if name == "from_pretrained":
        from sketchclip.pretrained.model import load_model

        return load_model
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
