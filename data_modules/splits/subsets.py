"""Parts of the data for studies of scarcity: drawn by a seed, smaller parts inside larger ones."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def draw(items: Sequence[T], names: Sequence[str], count: int, *key: object) -> list[T]:
    """Choose some items; the choice of a smaller count is part of that of a larger one.

    It depends on key and names alone, so that a copy of the data elsewhere, or one with more
    classes, gives the same choice.

    Args:
        items: To choose from.
        names: Names of the items, which decide the choice.
        count: How many to choose.
        key: Seed and purpose; other keys give independent choices.

    Returns:
        The chosen items in their order.

    Example:
        >>> names = ["a", "b", "c", "d"]
        >>> set(draw(names, names, 2, 0)) < set(draw(names, names, 3, 0))
        True
    """
    prefix = "/".join(map(str, key))
    ranks = [blake2b(f"{prefix}/{name}".encode(), digest_size=8).digest() for name in names]
    first = sorted(range(len(items)), key=lambda i: (ranks[i], i))[:count]
    return [items[i] for i in sorted(first)]


def part(fraction: float, total: int) -> int:
    """Number of items in a fraction of them, at least 1.

    >>> part(0.1, 80), part(0.1, 3), part(1.0, 3)
    (8, 1, 3)
    """
    return max(1, round(fraction * total))
