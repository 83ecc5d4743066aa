"""Patch shuffling: images cut into n x n blocks that change places."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_shuffle(
    images: Tensor, permutation: Tensor, fit: Literal["crop", "resize"] = "crop"
) -> Tensor:
    """Put block ``permutation[b, i]`` of image b where its block i was (Sain et al., CVPR 2023).

    A size that n does not divide is cropped to the next smaller multiple, centred, and resized
    back bilinearly: 224 pixels and n = 3 give blocks of 74 and a crop of 222. Or it is resized to
    the next larger multiple at first, and back: blocks of 75.

    Args:
        images: Square images, shape (B, C, S, S).
        permutation: Order of the n n blocks, row by row, shape (B, n n), int64.
        fit: What happens to a size that n does not divide.

    Returns:
        Images of the same shape.

    >>> image = torch.arange(4.0).view(1, 1, 2, 2)
    >>> patch_shuffle(image, torch.tensor([[3, 0, 1, 2]])).flatten()
    tensor([3., 0., 1., 2.])
    """
    batch, channels, size, _ = images.shape
    n = round(permutation.shape[1] ** 0.5)
    if n * n != permutation.shape[1] or len(permutation) != batch:
        raise ValueError(f"permutation: expected ({batch}, n * n), found {(*permutation.shape,)}.")
    if fit == "resize" and size % n:
        larger = F.interpolate(images, size=2 * (n * math.ceil(size / n),), mode="bilinear")
        moved = patch_shuffle(larger, permutation)
        return F.interpolate(moved, size=(size, size), mode="bilinear", antialias=True)
    block = size // n
    first = (size - n * block) // 2
    cut = images[..., first : first + n * block, first : first + n * block]
    blocks = cut.reshape(batch, channels, n, block, n, block).permute(0, 2, 4, 1, 3, 5)
    blocks = blocks.reshape(batch, n * n, channels, block, block)
    rows = torch.arange(batch, device=images.device).unsqueeze(1)
    order = permutation.to(images.device, non_blocking=True)  # the step waits for nothing
    blocks = blocks[rows, order].reshape(batch, n, n, channels, block, block)
    shuffled = blocks.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels, n * block, n * block)
    if n * block == size:
        return shuffled
    return F.interpolate(shuffled, size=(size, size), mode="bilinear", antialias=True)


def draw_permutations(
    batch: int, n: int, generator: torch.Generator | None = None, same: bool = False
) -> tuple[Tensor, Tensor]:
    """Sample two different permutations of n x n blocks for each image, uniform over such pairs.

    Args:
        batch: Number of images.
        n: Blocks along a side, at least 2: with a single one there is nothing to permute.
        generator: Source of randomness.
        same: Whether all images get the same two.

    Returns:
        Both permutations, (B, n n), int64; the first may be the identity.

    Raises:
        ValueError: If n is less than 2.
    """
    if n < 2:
        raise ValueError(f"n={n}: two different permutations need at least 2 x 2 blocks.")
    count = 1 if same else batch
    first = _draw(count, n * n, generator)
    second = _draw(count, n * n, generator)
    while (equal := (first == second).all(1)).any():
        second[equal] = _draw(int(equal.sum()), n * n, generator)
    return first.expand(batch, -1), second.expand(batch, -1)


def permutation_bank(count: int, n: int, seed: int = 0) -> Tensor:
    """A fixed set of different orders of n x n blocks, none of which leaves all in place.

    Args:
        count: Number of orders, at most (n n)! - 1.
        n: Blocks along a side.
        seed: The same seed gives the same set.

    Returns:
        Orders, (count, n n), int64.

    Raises:
        ValueError: If there are not so many.
    """
    length = n * n
    if not 1 <= count < math.factorial(length):
        most = math.factorial(length) - 1
        raise ValueError(f"count={count}: expected 1 to {most:,} orders of {n} x {n} blocks.")
    generator, identity = torch.Generator().manual_seed(seed), tuple(range(length))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        drawn = tuple(torch.randperm(length, generator=generator).tolist())
        if drawn != identity:
            found[drawn] = None
    return torch.tensor(list(found))


def _draw(count: int, length: int, generator: torch.Generator | None) -> Tensor:
    return torch.rand(count, length, generator=generator).argsort(1)
