"""Class names: spelling variants, and folders of images by class."""

import re
from collections.abc import Mapping
from pathlib import Path

from data_modules.images import EXTENSIONS
from sketchclip.errors import SketchClipError


def canonical(name: str) -> str:
    """Key under which spelling variants of one class name meet.

    >>> canonical("hot-air_balloon") == canonical("Hot Air Balloon") == "hot_air_balloon"
    True
    >>> canonical("car_(sedan)") == canonical("car (sedan)")
    True
    """
    return re.sub(r"[\s_-]+", "_", name.strip().lower()).strip("_")


def images_by_class(folder: Path) -> dict[str, list[Path]]:
    """Images of each class folder, classes and files sorted.

    Args:
        folder: Holds one folder a class.

    Returns:
        Canonical class name to image files.

    Raises:
        SketchClipError: If the folder is missing or has no class, a class has no image, or two
            folders have the same canonical name.
    """
    if not folder.is_dir():
        raise SketchClipError(f"Expected a folder of class folders at {folder}, found none.")
    found: dict[str, list[Path]] = {}
    spelled: dict[str, str] = {}
    for entry in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._"):
        key = canonical(entry.name)
        if key in found:
            raise SketchClipError(
                f"{folder}: the folders '{spelled[key]}' and '{entry.name}' are one class by name. "
                "Rename or merge them."
            )
        images = sorted(
            p for p in entry.iterdir() if p.suffix.lower() in EXTENSIONS and p.name[0] != "."
        )
        if not images:
            raise SketchClipError(
                f"Class folder {entry} has no image ({', '.join(sorted(EXTENSIONS))}). Add images "
                "or remove the folder."
            )
        found[key], spelled[key] = images, entry.name
    if not found:
        raise SketchClipError(f"{folder} holds no class folder.")
    return found


def check_pairs(
    sketches: Mapping[str, list[Path]], photos: Mapping[str, list[Path]]
) -> tuple[list[str], list[str]]:
    """Classes with both sides, and those with one side only."""
    both = sorted(sketches.keys() & photos.keys())
    return both, sorted(sketches.keys() ^ photos.keys())
