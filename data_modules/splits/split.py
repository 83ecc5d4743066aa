"""Splits into seen and unseen classes, and validation classes carved out of the seen ones."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from data_modules.listing.names import align, canonical, shorten
from data_modules.listing.same_thing import same_classes
from sketchclip.errors import SketchClipError

UNSEEN_BY_MODEL = "unseen_by_model"
"""Name of the split whose test classes are all that the model under test was not trained on."""


@dataclass(frozen=True)
class Split:
    """Classes of a zero-shot experiment that are on disk, canonical names, sorted.

    Attributes:
        name: How it was named, for results.
        seen: Training classes.
        unseen: Test classes; disjoint from ``seen``.
        listed: Number of seen and unseen classes that the split names.
        ignored: Classes on disk that it does not name.
        removed: Classes on disk that the model under test was trained on, with the names that they
            had there; of ``unseen_by_model`` alone.
    """

    name: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    listed: tuple[int, int]
    ignored: tuple[str, ...] = ()
    removed: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every class that the split names is here."""
        return (len(self.seen), len(self.unseen)) == self.listed

    @property
    def coverage(self) -> str:
        """Size of the part of the split that is here: 18 of 104 seen, 5 of 21 unseen classes."""
        seen, unseen = self.listed
        return f"{len(self.seen)} of {seen} seen, {len(self.unseen)} of {unseen} unseen classes"


def read_class_list(text: str) -> list[str]:
    r"""Canonical class names of a text file: one a line, # comments.

    >>> read_class_list("# source\nhot air balloon\n\nbat\n")
    ['hot_air_balloon', 'bat']
    """
    return [canonical(line) for line in _lines(text)]


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def named_splits() -> list[str]:
    """Names of the splits inside the package."""
    names = (p.name for p in files("data_modules").joinpath("splits").iterdir())
    return sorted(n.removesuffix("_unseen.txt") for n in names if n.endswith("_unseen.txt"))


@cache
def packaged_list(name: str, side: str) -> tuple[str, ...]:
    """Canonical names of one side of a split in the package; none if it is not listed."""
    path = files("data_modules").joinpath("splits").joinpath(f"{name}_{side}.txt")
    return tuple(read_class_list(path.read_text("utf-8"))) if path.is_file() else ()


def resolve_split(split: str, available: Iterable[str]) -> Split:
    """Find a split and restrict it to the classes on disk.

    Args:
        split: A name inside the package (``sketchy_104_21``), ``random:<n_unseen>:<seed>``, or a
            text file of unseen class names (all other classes are seen).
        available: Canonical names of the classes that have sketches and photos.

    Returns:
        The split. One of the package may lack classes that are not on disk.

    Raises:
        SketchClipError: If it is unknown, a user's file names a class that has no data, none of
            its classes is on disk, or a drawn or a user's split leaves fewer than two seen or two
            unseen classes.
    """
    classes = sorted(available)
    if split in named_splits():
        return _named(split, classes)
    if split.startswith("random:"):
        unseen = _random_unseen(split, classes)
    elif Path(split).expanduser().is_file():
        unseen = _from_file(Path(split).expanduser(), classes)
    elif split.lower().endswith(".txt"):
        raise SketchClipError(
            f"data.split={split}: the file does not exist. Expected a text file with the name of "
            "an unseen class a line; its path starts at the folder of the command."
        )
    else:
        raise SketchClipError(
            f"Unknown split '{split}'. Expected one of {', '.join(named_splits())}; "
            "random:<n_unseen>:<seed>, such as random:5:0; a text file of unseen class names; or, "
            f"to test a trained model, {UNSEEN_BY_MODEL}."
        )
    seen = sorted({*classes} - {*unseen})
    if len(seen) < 2 or len(unseen) < 2:
        raise SketchClipError(
            f"Split '{split}' gives {len(seen)} seen and {len(unseen)} unseen classes of "
            f"{len(classes)}; a triplet's negative and a retrieval task need at least 2 of each. "
            + _fitting(len(classes))
        )
    return Split(split, tuple(seen), tuple(sorted(unseen)), (len(seen), len(unseen)))


def split_by_model(available: Iterable[str], trained: Iterable[str]) -> Split:
    """Make the classes that a model was not trained on the unseen ones; none is seen.

    Args:
        available: Canonical names of the classes that have sketches and photos.
        trained: Names of the model's training classes, of this or of another dataset.
    """
    classes = sorted(available)
    removed = same_classes(classes, trained)
    unseen = tuple(name for name in classes if name not in removed)
    return Split(UNSEEN_BY_MODEL, (), unseen, (0, len(unseen)), removed=removed)


def _named(split: str, classes: Sequence[str]) -> Split:
    seen, unseen = packaged_list(split, "seen"), packaged_list(split, "unseen")
    spelling = {wanted: found for found, wanted in align(classes, [*seen, *unseen]).items()}
    unseen_here = sorted({spelling.get(c, c) for c in unseen} & {*classes})
    if not seen:
        rest = sorted({*classes} - {*unseen_here})
        return Split(split, tuple(rest), tuple(unseen_here), (len(rest), len(unseen)))
    seen_here = sorted({spelling.get(c, c) for c in seen} & {*classes})
    if not seen_here and not unseen_here:
        raise _absent(split, [*seen, *unseen], len(seen) + len(unseen), classes)
    ignored = sorted({*classes} - {*seen_here} - {*unseen_here})
    listed = len(seen), len(unseen)
    return Split(split, tuple(seen_here), tuple(unseen_here), listed, tuple(ignored))


def _from_file(path: Path, classes: Sequence[str]) -> list[str]:
    """Unseen classes of a user's file: a name a line, or a name and a number a line."""
    try:
        lines = _lines(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SketchClipError(
            f"Cannot read split {path} ({error}). Expected UTF-8 text with a class name a line."
        ) from error
    # A comment may follow a name, unless all of the line is the name of a class: 'class #2'.
    lines = [x if canonical(x) in classes else re.sub(r"\s+#.*", "", x) for x in lines]
    names = _matched([canonical(line) for line in lines], classes)
    numbered = [re.fullmatch(r"(.*\S)\s+\d+", line) for line in lines]
    if lines and all(numbered):
        # The lists of SAKE and ZSE-SBIR: 'hot air balloon 14'. Where the number belongs to the
        # name, as in 'class 14', the whole line is what matches.
        bare = _matched([canonical(match[1]) for match in numbered if match], classes)
        if len({*bare}) == len(bare) and len({*bare} & {*classes}) > len({*names} & {*classes}):
            names = bare
    absent = sorted({*names} - {*classes})
    if absent:
        raise _absent(str(path), absent, len({*names}), classes)
    return sorted({*names})


def _matched(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    spelling = align(names, classes)
    return [spelling.get(name, name) for name in names]


def _fitting(classes: int) -> str:
    """Advice for a number of classes that a split does not fit."""
    if classes < 4:
        return "Add sketches and photos of more classes: at least 4 are needed."
    unseen = max(2, classes // 5)
    alone = " --data.validation=none" if classes - unseen < 4 else ""  # none to set aside
    return f"Use --data.split=random:{unseen}:0{alone}."


def _absent(split: str, absent: Sequence[str], total: int, classes: Sequence[str]) -> Exception:
    near = {name: get_close_matches(name, classes, n=1, cutoff=0.75) for name in absent[:6]}
    told = [f"{name} (nearest: {like[0]})" if like else name for name, like in near.items()]
    here = "" if any(near.values()) else f" Found {len(classes)} classes ({shorten(classes)})."
    more = f", and {len(absent) - 6} more" if absent[6:] else ""
    return SketchClipError(
        f"Split '{split}': there are no sketches and photos of {len(absent)} of its {total} "
        f"classes: {', '.join(told)}{more}.{here} Correct the names, "
        "complete the data, or choose another split, such as --data.split=random:2:0."
    )


def _random_unseen(split: str, classes: Sequence[str]) -> list[str]:
    match = re.fullmatch(r"random:(\d+):(\d+)", split)
    if not match:
        raise SketchClipError(
            f"Cannot read split '{split}': expected random:<n_unseen>:<seed>, such as random:5:0."
        )
    count, seed = int(match[1]), int(match[2])
    order = np.random.default_rng(seed).permutation(len(classes))
    return [classes[i] for i in order[:count]]


def carve_validation(seen: Sequence[str], fraction: float, seed: int = 0) -> list[str]:
    """Set a part of the seen classes aside, the same ones on every machine.

    Raises:
        SketchClipError: If too few classes remain on either side.
    """
    if not 0 < fraction < 1:
        raise SketchClipError(
            f"data.val_fraction={fraction}: expected a part of the seen classes, above 0 and below "
            "1. To train on all of them use --data.validation=none."
        )
    count = max(2, round(fraction * len(seen)))
    if len(seen) - count < 2:
        raise SketchClipError(
            f"{len(seen)} seen classes are too few to set {count} aside for validation. "
            "Use --data.validation=none."
        )
    order = np.random.default_rng(seed).permutation(len(seen))
    return sorted(seen[i] for i in order[:count])
