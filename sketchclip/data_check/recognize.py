"""Recognition of a dataset by the names of its folders, then of its classes and files."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import data_modules
from data_modules.base import SketchPhotoDataModule
from data_modules.bundled import BundledBenchmark
from data_modules.folder import SketchPhotoFolder
from data_modules.listing.layouts import (
    PLAIN,
    FoundLayout,
    find_layout,
    one_side,
    subfolders,
    visible,
)
from data_modules.listing.names import align, canonical
from data_modules.splits.split import packaged_list
from sketchclip.errors import SketchClipError

_MOST = 0.9
"""Fraction of the classes on disk, or of those published, that must agree."""

# How files are named in the public archives, sketches and photos, without their ending.
_FILE_NAMES = {
    "Sketchy": (r"n\d{8}_\d+-\d+", r"n\d{8}_\d+|ext_\d+"),
    "TUBerlin": (r"\d{1,5}", r"n\d{8}_\d+"),
    "QuickDraw": (r"\d{16}", r"image_\d+"),
}


@dataclass(frozen=True)
class Recognized:
    """A data module, and the reason in words, to follow "recognized by"."""

    dataset: type[SketchPhotoDataModule]
    reason: str


def known_datasets() -> list[type[SketchPhotoDataModule]]:
    """List the data modules that read user data, plain folders last."""
    public = (getattr(data_modules, name) for name in data_modules.__all__)
    found = [
        member
        for member in public
        if isinstance(member, type)
        and issubclass(member, SketchPhotoDataModule)
        and not issubclass(member, BundledBenchmark)
        and member not in (SketchPhotoDataModule, SketchPhotoFolder)
    ]
    return [*found, SketchPhotoFolder]


def recognize(root: Path, name: str | None = None, named: bool = False) -> Recognized:
    """Find out which dataset a folder holds.

    Args:
        root: Existing folder.
        name: Name of the data module, if the user gives it; case does not matter.
        named: True if the user names the files by patterns, so that there is no layout to find.

    Raises:
        SketchClipError: If the name is unknown, no layout is found, or several datasets fit.
    """
    known = known_datasets()
    if name is not None:
        for dataset in known:
            if dataset.__name__.lower() == re.sub(r"[\W_]", "", name).lower():
                return Recognized(dataset, "its name in --dataset")
        names = ", ".join(dataset.__name__ for dataset in known)
        raise SketchClipError(f"--dataset {name}: expected one of {names}.")
    if named:
        return Recognized(SketchPhotoFolder, "the files being named by patterns")
    originals = [dataset for dataset in known[:-1] if dataset.__base__ not in known]
    layouts = [layout for dataset in originals for layout in dataset.layouts if layout != PLAIN]
    try:
        # One search for all: it looks into every folder near root.
        found = find_layout(root, [*dict.fromkeys(layouts), PLAIN], "sketchclip data")
    except SketchClipError as error:
        raise _unknown(root, known) from error
    by_folders = [dataset for dataset in originals if _has_layout(dataset, found)]
    if len(by_folders) == 1:
        return Recognized(by_folders[0], f"its folders {_folders(found)}")
    fitting = [dataset for dataset in by_folders or originals if _fits(dataset, found)]
    if len(fitting) == 1:
        return Recognized(fitting[0], f"its folders {_folders(found)} and its classes")
    if fitting:
        raise SketchClipError(
            f"{' and '.join(d.__name__ for d in fitting)} fit {_folders(found)} under {root} with "
            f"the classes {', '.join(_some_classes(found))}. Name one with --dataset."
        )
    reason = f"its folders {_folders(found)}, class and file names being of no published set"
    return Recognized(SketchPhotoFolder, reason)


def _has_layout(dataset: type[SketchPhotoDataModule], found: FoundLayout) -> bool:
    """Tell if a layout of the dataset, other than the plain one, has these folders."""
    return any(
        _is_one_of(found, found.sketches, layout.sketches)
        and _is_one_of(found, found.photos, layout.photos)
        for layout in dataset.layouts
        if layout != PLAIN
    )


def _is_one_of(found: FoundLayout, folder: Path | None, names: Iterable[str]) -> bool:
    path = folder.relative_to(found.root).as_posix().lower() if folder else ""
    return any(fnmatchcase(path, name.lower()) for name in names)


def _unknown(root: Path, known: Sequence[type[SketchPhotoDataModule]]) -> SketchClipError:
    """Build the error that lists the expected folders, or datasets in subfolders."""
    layouts = list(dict.fromkeys(layout for dataset in known for layout in dataset.layouts))
    below = []
    for child in subfolders(root):
        with suppress(SketchClipError):
            if find_layout(child, layouts, "").root.is_relative_to(child):
                below.append(str(child))
    if len(below) > 1:
        return SketchClipError(
            f"Several datasets lie under {root}: {', '.join(below[:6])}. Name the folder of one."
        )
    lines = [
        f"  {dataset.__name__}: " + ", ".join(f"{x.sketches[0]} + {x.photos[0]}" for x in shown)
        for dataset in known
        if (shown := [x for x in dataset.layouts if x != PLAIN or dataset is SketchPhotoFolder])
    ]
    holds = ", ".join(entry.name for entry in visible(root)[:8]) or "nothing"
    return SketchClipError(
        f"No dataset recognized under {root}, which holds {holds}. {one_side(root)}"
        "Looked for these folders of class folders, sketches + photos:\n"
        + "\n".join(lines)
        + "\nDescribe another layout "
        "with --sketch_files '<class>/sketch/*' --photo_files '<class>/photo/*'."
    )


def _folders(found: FoundLayout) -> str:
    return " and ".join(str(folder.relative_to(found.root)) for folder in found.folders)


def _some_classes(found: FoundLayout) -> list[str]:
    names = [folder.name for folder in subfolders(found.folders[0])]
    return names[:6] + (["..."] if names[6:] else [])


def _fits(dataset: type[SketchPhotoDataModule], found: FoundLayout) -> bool:
    """Tell if classes and files are named as published."""
    split = dataset.default_split or ""
    listed = {*packaged_list(split, "seen"), *packaged_list(split, "unseen")}
    here = {canonical(folder.name) for side in found.folders for folder in subfolders(side)}
    if not listed or not here:
        return False
    common = len(here & listed) + len(align(here, listed))
    # A few classes are in many lists; how the files are named tells then.
    patterns = _FILE_NAMES.get(dataset.__name__, ())
    sides = zip(found.folders, patterns, strict=False)
    return common >= _MOST * len(listed) or (
        common >= _MOST * len(here)
        and bool(patterns)
        and all(_all_like(_sample(folder), pattern) for folder, pattern in sides)
    )


def _sample(side: Path) -> Iterator[str]:
    """Yield names without ending of a few files of each of a few classes."""
    for folder in subfolders(side)[:20]:
        yield from (Path(entry.name).stem for entry in visible(folder)[:5])


def _all_like(names: Iterable[str], pattern: str) -> bool:
    """Tell if nearly all names match; true without names: Quick, Draw! files have no folders."""
    matches = [re.fullmatch(pattern, name) is not None for name in names]
    return sum(matches) >= _MOST * len(matches)
