"""sketchclip: CLIP for zero-shot sketch-based image retrieval.

Kept free of imports on purpose: ``sketchclip --help`` must answer without loading PyTorch.
"""

__version__ = "0.1.0"
