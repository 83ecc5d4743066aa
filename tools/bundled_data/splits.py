"""Seen/unseen splits of the bundled benchmarks, as rules over data.

A split is decided by hashes of class names, never by how well a model does on a class, so
that it can be recomputed by anybody and cannot be tuned.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path


def name_order(names: Iterable[str]) -> list[str]:
    """Order names by their sha256, a fixed order without preference.

    Args:
        names: Class names.

    Returns:
        The names, sorted by the hexadecimal digest of their UTF-8 bytes.
    """
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def split_classes(
    classes: Iterable[str],
    seen: Iterable[str],
    unseen: Iterable[str],
    together: Iterable[Sequence[str]],
    unseen_count: int,
) -> tuple[list[str], list[str]]:
    """Split classes into seen and unseen, groups of look-alikes kept on one side.

    A group with a class of a fixed side goes to that side; then whole groups and single
    classes are added to the unseen side in hash order while they fit.

    Args:
        classes: All class names.
        seen: Classes that must be seen.
        unseen: Classes that must be unseen.
        together: Groups of classes that must not be separated.
        unseen_count: Size to which the unseen side is filled.

    Returns:
        Sorted seen and sorted unseen class names.

    Raises:
        ValueError: If the rules contradict each other or name an unknown class.

    Example:
        >>> split_classes("abcde", seen="a", unseen="b", together=["ac"], unseen_count=2)
        (['a', 'c', 'e'], ['b', 'd'])
    """
    pool = set(classes)
    group_of = {name: frozenset([name]) for name in pool}
    for group in together:
        for name in group:
            if len(group_of.get(name, ())) != 1:
                raise ValueError(f"group {list(group)}: {name!r} is unknown or in two groups")
            group_of[name] = frozenset(group)
    forced: dict[str, set[str]] = {}
    for side, names in (("seen", seen), ("unseen", unseen)):
        if missing := set(names) - pool:
            raise ValueError(f"{side} classes without data: {sorted(missing)}")
        forced[side] = set().union(*(group_of[name] for name in names))
    if clash := forced["seen"] & forced["unseen"]:
        raise ValueError(f"classes forced to both sides: {sorted(clash)}")
    chosen = set(forced["unseen"])
    for name in name_order(pool - forced["seen"]):
        if len(chosen | group_of[name]) <= unseen_count:
            chosen |= group_of[name]
    return sorted(pool - chosen), sorted(chosen)


def split_categories(categories: Iterable[str], unseen_share: float) -> tuple[list[str], list[str]]:
    """Split categories by hash order alone.

    Args:
        categories: Category names.
        unseen_share: Share of categories that become unseen, rounded to a whole number.

    Returns:
        Sorted seen and sorted unseen category names.
    """
    order = name_order(categories)
    count = round(len(order) * unseen_share)
    return sorted(order[count:]), sorted(order[:count])


def write_split(path: Path, header: str, names: Sequence[str]) -> None:
    """Write a class list: comment line, then one class per line.

    Args:
        path: Target file.
        header: Source and rule, without the leading ``#``.
        names: Class names in the order to write.
    """
    path.write_text(f"# {header}\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")
