"""Splits into seen and unseen classes, and validation classes carved out of the seen ones."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from data_modules.names import canonical
from sketchclip.errors import SketchClipError


@dataclass(frozen=True)
class Split:
    """Classes of a zero-shot experiment, canonical names, sorted.

    Attributes:
        name: How it was named, for results.
        seen: Training classes.
        unseen: Test classes; disjoint from ``seen``.
    """

    name: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


def read_class_list(text: str) -> list[str]:
    r"""Canonical class names of a text file: one a line, # comments.

    >>> read_class_list("# source\nhot air balloon\n\nbat\n")
    ['hot_air_balloon', 'bat']
    """
    lines = (line.strip() for line in text.splitlines())
    return [canonical(line) for line in lines if line and not line.startswith("#")]


def named_splits() -> list[str]:
    """Names of the splits inside the package."""
    names = (p.name for p in files("data_modules").joinpath("splits").iterdir())
    return sorted(n.removesuffix("_unseen.txt") for n in names if n.endswith("_unseen.txt"))


def resolve_split(split: str, available: Iterable[str]) -> Split:
    """Find a split and check it against the classes on disk.

    Args:
        split: A name inside the package (``sketchy_104_21``), ``random:<n_unseen>:<seed>``, or a
            text file of unseen class names (all other classes are seen).
        available: Canonical names of the classes that have sketches and photos.

    Returns:
        The split.

    Raises:
        SketchClipError: If it is unknown, names a class that has no data, or leaves fewer than two
            seen or two unseen classes.
    """
    classes = sorted(available)
    if split.startswith("random:"):
        unseen = _random_unseen(split, classes)
        seen = [name for name in classes if name not in unseen]
    elif split in named_splits():
        folder = files("data_modules").joinpath("splits")
        unseen = read_class_list(folder.joinpath(f"{split}_unseen.txt").read_text("utf-8"))
        listed = folder.joinpath(f"{split}_seen.txt")
        seen = (
            read_class_list(listed.read_text("utf-8"))
            if listed.is_file()
            else [name for name in classes if name not in unseen]
        )
    elif Path(split).is_file():
        unseen = read_class_list(Path(split).read_text("utf-8"))
        seen = [name for name in classes if name not in unseen]
    else:
        raise SketchClipError(
            f"Unknown split '{split}'. Expected one of {', '.join(named_splits())}; "
            "random:<n_unseen>:<seed>, such as random:5:0; or a text file of unseen class names."
        )
    _check_split(split, seen, unseen, classes)
    return Split(split, tuple(sorted(seen)), tuple(sorted(unseen)))


def _random_unseen(split: str, classes: Sequence[str]) -> list[str]:
    match = re.fullmatch(r"random:(\d+):(\d+)", split)
    if not match:
        raise SketchClipError(
            f"Cannot read split '{split}': expected random:<n_unseen>:<seed>, such as random:5:0."
        )
    count, seed = int(match[1]), int(match[2])
    order = np.random.default_rng(seed).permutation(len(classes))
    return [classes[i] for i in order[:count]]


def _check_split(
    split: str, seen: Sequence[str], unseen: Sequence[str], classes: Sequence[str]
) -> None:
    absent = sorted({*seen, *unseen} - set(classes))
    if absent:
        raise SketchClipError(
            f"Split '{split}' names {len(absent)} of {len(seen) + len(unseen)} classes that have "
            f"no sketches and photos here: {', '.join(absent[:6])}{', ...' if absent[6:] else ''}. "
            f"Found {len(classes)} classes: {', '.join(classes[:6])}"
            f"{', ...' if classes[6:] else ''}. Complete the data, or choose a split that fits, "
            f"such as --data.split=random:{max(2, len(classes) // 5)}:0."
        )
    if len(seen) < 2 or len(unseen) < 2:
        raise SketchClipError(
            f"Split '{split}' gives {len(seen)} seen and {len(unseen)} unseen classes of "
            f"{len(classes)}; a triplet's negative and a retrieval task need at least 2 of each."
        )


def carve_validation(seen: Sequence[str], fraction: float, seed: int = 0) -> list[str]:
    """Choose pseudo-unseen classes among the seen ones for model selection.

    Args:
        seen: Seen classes, sorted.
        fraction: Part of them to set aside, at least 2 classes.
        seed: Of the choice.

    Returns:
        The chosen classes, sorted.

    Raises:
        SketchClipError: If fewer than 2 classes would be left for training.
    """
    count = max(2, round(fraction * len(seen)))
    if len(seen) - count < 2:
        raise SketchClipError(
            f"{len(seen)} seen classes are too few to set {count} aside for validation. "
            "Use --data.validation=none."
        )
    order = np.random.default_rng(seed).permutation(len(seen))
    return sorted(seen[i] for i in order[:count])
