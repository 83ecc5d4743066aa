"""Random crops of images that are tensors already, for methods that see one image many times."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crops(images: Tensor, generator: torch.Generator, scale: tuple[float, float]) -> Tensor:
    """Crop each image at random, resize the crop to the image's size, and mirror half of them.

    A crop lies within its image; its aspect ratio is between 3/4 and 4/3, as DINO's is.

    Args:
        images: Shape (B, C, H, W).
        generator: Source of the crops, on the CPU.
        scale: Smallest and largest part of the area that a crop has.

    Returns:
        Crops, of the same shape.
    """
    drawn = torch.rand(5, len(images), generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * drawn[0]
    ratio = torch.exp((2 * drawn[1] - 1) * math.log(4 / 3))
    size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()]).clamp(max=1.0)
    middle = (2 * drawn[2:4] - 1) * (1 - size)  # of an image whose corners are -1 and 1
    mirror = torch.where(drawn[4] < 0.5, -1.0, 1.0)
    none = torch.zeros_like(mirror)
    across = torch.stack([size[0] * mirror, none, middle[0]], dim=1)
    down = torch.stack([none, size[1], middle[1]], dim=1)
    moves = torch.stack([across, down], dim=1).to(images)
    grid = F.affine_grid(moves, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
