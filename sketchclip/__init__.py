"""sketchclip: CLIP for zero-shot sketch-based image retrieval.

Kept free of imports on purpose: ``sketchclip --help`` must answer without loading PyTorch.
"""

import os
import signal
import sys

# The command itself answers Ctrl-C from its first moment on, see sketchclip.system.signals; a
# program that imports the package keeps its own answer.
if (
    os.path.basename(sys.argv[0] if sys.argv else "") == "sketchclip"
    or sys.orig_argv[1:3] == ["-m", "sketchclip"]
) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(
        signal.SIGINT, lambda *_: (os.write(2, b"Stopped.\n"), os._exit(128 + signal.SIGINT))
    )

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
