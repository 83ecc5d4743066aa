"""Read an image file of any kind, bitmap or drawing."""

from pathlib import Path

import numpy as np

from data_modules.images.decode import decode_image, read_bytes
from data_modules.images.drawings import is_drawing, render_drawing


def read_image(path: Path, side: int | None = None) -> np.ndarray:
    """Read an image as RGB on white.

    Args:
        path: A bitmap, an SVG file, or ``x.ndjson#n`` for the drawing of line n.
        side: Smallest side in pixels that is still wanted, see
            :func:`~data_modules.images.decode.decode_image`. Drawings are rendered at this side,
            by default 224.

    Returns:
        uint8 array, shape (H, W, 3).

    Raises:
        UnreadableImageError: If the file is missing, is no image, is incomplete or too large.
    """
    if is_drawing(path):
        return render_drawing(path, side or 224)
    return decode_image(read_bytes(path), path, side)
