"""Which files are sketches and photos of which class."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_modules.images.decode import BITMAPS
from data_modules.images.drawings import DRAWINGS, NDJSON, count_drawings
from data_modules.listing.entries import ending
from data_modules.listing.layouts import visible
from data_modules.listing.names import align, canonical
from sketchclip.errors import SketchClipError, printable

Listing = dict[str, list[Path]]
"""Canonical class name to files, both sorted."""

PHOTOS = BITMAPS
SKETCHES = BITMAPS | DRAWINGS
_DOWNLOADED = re.compile(r"full_(simplified|raw)_", re.IGNORECASE)
_TOKEN = re.compile(r"(<class>|\*\*/|\*\*|\*|\?)")


def list_folder(folder: Path, extensions: frozenset[str]) -> Listing:
    """Files of each class folder, by lower-case ending; of sketches also each ``<class>.ndjson``.

    Raises:
        SketchClipError: If there is no class, a class has no file, or two folders have the same
            canonical name.
    """
    found: Listing = {}
    spelled: dict[str, str] = {}
    for name, files in _class_folders(folder, extensions):
        if not files:
            raise SketchClipError(
                f"Class folder {folder / name} has no image ({', '.join(sorted(extensions))}). "
                "Add images or remove the folder."
            )
        key = _key(folder, name, spelled)
        if key in found:  # a folder and an .ndjson file of the same name
            raise SketchClipError(
                f"{folder}: the class '{name}' is there as a folder and as an .ndjson file. "
                "Remove one of them."
            )
        found[key] = files
    if not found:
        raise SketchClipError(f"{folder} holds no class folder.")
    return _checked(found)


def list_pattern(root: Path, pattern: str, extensions: frozenset[str]) -> Listing:
    """Files that a pattern such as ``<class>/photo/*`` matches, by the name at ``<class>``.

    Args:
        root: Folder that the pattern is relative to.
        pattern: ``<class>`` and ``*`` match within one part of a path, ``**`` any number of parts;
            letters match in any case.
        extensions: Lower-case endings of the files to list.

    Returns:
        The listing.

    Raises:
        SketchClipError: If the pattern has no ``<class>``, leaves root or matches no image, or two
            names have the same canonical form.
    """
    parts = pattern.split("/")
    if "<class>" not in pattern or ".." in parts or os.path.isabs(pattern):
        raise SketchClipError(
            f"Pattern '{pattern}': expected a path relative to the data root with <class> where "
            "the class is named, such as '<class>/sketch/*' or 'photos/<class>/**'."
        )
    fixed = 0  # leading folders without a wildcard are entered directly
    while fixed < len(parts) - 1 and not _TOKEN.search(parts[fixed]):
        fixed += 1
    depth = None if "**" in pattern else len(parts) - fixed
    expression, top = _expression("/".join(parts[fixed:])), root.joinpath(*parts[:fixed])
    names: dict[str, list[str]] = {}
    if top.is_dir():
        for relative in sorted(_walk(str(top), depth)):
            match = expression.fullmatch(relative)
            if match and ending(relative) in extensions:
                names.setdefault(match["name"], []).append(relative)
    found: Listing = {}
    spelled: dict[str, str] = {}
    for name in sorted(names):
        found[_key(root, name, spelled)] = list(_files(top, names[name]))
    if not found:
        examples = sorted(_walk(str(root), 4))[:4] if root.is_dir() else []
        raise SketchClipError(
            f"Pattern '{pattern}' matches no image under {root}. Found for example "
            f"{', '.join(examples) or 'nothing'}."
        )
    return _checked(found)


def _checked(listing: Listing) -> Listing:
    """A listing by class; results and lists of files could not hold names that are no text."""
    for path in (path for files in listing.values() for path in files):
        try:
            os.fspath(path).encode()
        except UnicodeEncodeError as error:
            raise SketchClipError(
                f"The name of {printable(path)} is not UTF-8. Rename the file or its folder."
            ) from error
    return dict(sorted(listing.items()))


def merge(listing: Listing, more: Listing) -> Listing:
    """Add the files whose name without ending is not yet there in the same class."""
    merged = dict(listing)
    for name, files in more.items():
        known = {path.stem for path in listing.get(name, ())}
        extra = [path for path in files if path.stem not in known]
        merged[name] = sorted([*listing.get(name, ()), *extra], key=lambda path: path.name)
    return dict(sorted(merged.items()))


def renamed(listing: Listing, wanted: Iterable[str]) -> Listing:
    """Use the spelling of ``wanted`` for names that differ in separators alone."""
    spelling = align(listing, wanted)
    return dict(sorted((spelling.get(name, name), files) for name, files in listing.items()))


def without(listing: Listing, other: Listing) -> Listing:
    """Leave out the files of another listing: one pattern may cover both sides."""
    taken = {path for files in other.values() for path in files}
    kept = {name: [p for p in files if p not in taken] for name, files in listing.items()}
    return {name: files for name, files in kept.items() if files}


def _key(folder: Path, name: str, spelled: dict[str, str]) -> str:
    """Canonical name of a folder; an error if another folder has it."""
    key = canonical(name)
    if spelled.setdefault(key, name) != name:
        raise SketchClipError(
            f"{folder}: the folders '{spelled[key]}' and '{name}' are one class by name. "
            "Rename or merge them."
        )
    return key


def _class_folders(folder: Path, extensions: frozenset[str]) -> Iterator[tuple[str, list[Path]]]:
    for entry in visible(folder):
        if entry.is_dir():
            # Names alone, no call to the system for each file: there may be half a million.
            names = [e.name for e in visible(entry.path) if ending(e.name) in extensions]
            yield entry.name, list(_files(Path(entry.path), names))
        elif ending(entry.name) == NDJSON and NDJSON in extensions:
            name = _DOWNLOADED.sub("", _stem(entry.name))
            yield name, list(_files(folder, [entry.name]))


def _files(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Paths of sorted names, without drawings that are there as an image too."""
    names = list(names)
    drawings = {name for name in names if ending(name) in DRAWINGS}
    images = {_stem(name) for name in names if name not in drawings} if drawings else set()
    for name in names:
        if name not in drawings:
            yield folder / name
        elif ending(name) == NDJSON:
            for number in range(count_drawings(folder / name)):
                yield folder / f"{name}#{number}"
        elif _stem(name) not in images:
            yield folder / name


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _expression(pattern: str) -> re.Pattern[str]:
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts, named = [], False
    for token in _TOKEN.split(pattern):
        if token == "<class>":  # a second one is the same name again
            parts.append("(?P=name)" if named else "(?P<name>[^/]+)")
            named = True
        else:
            parts.append(meaning.get(token, re.escape(token)))
    return re.compile("".join(parts), re.IGNORECASE)


def _walk(folder: str, depth: int | None, prefix: str = "") -> Iterator[str]:
    """Files below a folder, relative to it, at most ``depth`` levels down."""
    for entry in visible(folder):
        if not entry.is_dir():
            yield prefix + entry.name
        elif depth is None or depth > 1:
            below = None if depth is None else depth - 1
            yield from _walk(entry.path, below, f"{prefix}{entry.name}/")
