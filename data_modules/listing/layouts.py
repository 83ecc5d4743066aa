"""Layouts: the folders of a dataset's archives, and the search for them under root."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.listing.entries import visible_entries
from data_modules.listing.names import shorten
from sketchclip.errors import SketchClipError

_VARIANT = re.compile(r"tx_\d{12}(_ready)?", re.IGNORECASE)
_DEFAULT_VARIANT = "tx_000000000000"


@dataclass(frozen=True)
class Layout:
    """Folders in which an archive circulates; each side takes the first that exists.

    ``tx_*`` in a folder is Sketchy's variant of the images: ``tx_000000000000``, or the only one.

    Attributes:
        name: Where it comes from.
        sketches: Folders of class folders, relative to the root, in the order they are tried.
        photos: The same for photos.
        base: Folders of photos that join those of ``photos`` where they exist: Sketchy's 12,500.
    """

    name: str
    sketches: tuple[str, ...]
    photos: tuple[str, ...]
    base: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The two folders as messages show them."""
        return f"{self.sketches[0]}/<class>/ and {self.photos[0]}/<class>/"


PLAIN = Layout("two folders", ("sketch", "sketches"), ("photo", "photos", "image", "images"))
"""The plain layout, which every dataset reads."""


@dataclass(frozen=True)
class FoundLayout:
    """A layout on disk.

    Attributes:
        name: Name of the layout.
        root: Folder that the layout starts at; root or a folder near it.
        sketches: Folder of sketches; None if a pattern lists them.
        photos: Folder of photos; None if a pattern lists them.
        base: Sketchy's own photos, where they are apart from ``photos``.
    """

    name: str
    root: Path
    sketches: Path | None
    photos: Path | None
    base: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """The folders that are read."""
        return [folder for folder in (self.sketches, self.photos, self.base) if folder]


def in_words(layouts: Sequence[Layout]) -> str:
    """Name the first and the last of several layouts, for a message of one line.

    >>> in_words([PLAIN])
    'sketch/<class>/ and photo/<class>/'
    """
    if len(layouts) < 3:
        return " or ".join(map(str, layouts))
    others = f"or one of {len(layouts) - 2} others that circulate, see docs/data.md"
    return f"{layouts[0]}, or {layouts[-1]} ({others})"


def find_layout(root: Path, layouts: Sequence[Layout], dataset: str) -> FoundLayout:
    """Find the folders of a dataset: the first layout that is there.

    Root may be the dataset's folder, a folder above it by at most two levels, or a folder inside
    the layout such as ``256x256``.

    Raises:
        SketchClipError: If there is none, or several folders below root have it.
    """
    near = [root, *list(root.absolute().parents)[:4]]
    for layout in layouts:
        for base in near:
            found = _locate(base, layout)
            if found and (base is root or any(_inside(f, root) for f in found.folders)):
                return found
    level = [root]
    for _ in range(2):
        level = [child for folder in level for child in subfolders(folder)]
        for layout in layouts:
            matches = [found for folder in level if (found := _locate(folder, layout))]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise SketchClipError(
                    f"{dataset}: {len(matches)} folders under {root} look like a dataset: "
                    f"{', '.join(str(m.root) for m in matches[:6])}. Name one with --data.root."
                )
    names = [
        entry.name if os.path.exists(entry.path) else f"{entry.name} (a link to what is missing)"
        for entry in visible(root)
    ]
    present = shorten(names) or "nothing"
    raise SketchClipError(
        f"{dataset}: expected {in_words(layouts)} under {root}, found {present}. "
        f"{one_side(root)}Folders arranged in another way can be named: "
        "--data.sketch_files='<class>/sketch/*' --data.photo_files='<class>/photo/*'."
    )


def one_side(root: Path) -> str:
    """Sentence for a folder with sketches or photos alone, or that is one of the two; or none."""
    sides = ("sketch", "photo", PLAIN.sketches), ("photo", "sketch", PLAIN.photos)
    for name, other, folders in sides:
        rest = f"add {'sketches' if other == 'sketch' else 'photos'}"
        if name == "photo":
            rest += ", or use 'sketchclip index' to search photos without training"
        if there := next(_existing(root, folders), None):
            count = len(subfolders(there))
            held = f"{count:,} class{'' if count == 1 else 'es'}"
            return f"There is {there.name}/ with {held} but no {other}/ beside it: {rest}. "
        if root.name.lower() in folders and subfolders(root):
            above = root.absolute().parent
            return f"{root} is one of the two folders: name its parent, {above}, and {rest}. "
    return ""


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted, without hidden ones and those of operating systems."""
    return [Path(entry.path) for entry in visible(folder) if entry.is_dir()]


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Entries of a folder of the dataset, see :func:`visible_entries`.

    Raises:
        SketchClipError: If the folder cannot be read.
    """
    try:
        return visible_entries(folder)
    except OSError as error:
        raise SketchClipError(
            f"Cannot list {folder} ({error}). Make it readable, or name another folder with "
            "--data.root."
        ) from error


def _inside(folder: Path, root: Path) -> bool:
    return folder.absolute().is_relative_to(root.absolute())


def _locate(base: Path, layout: Layout) -> FoundLayout | None:
    sketches, photos, extra = (
        next(_existing(base, side), None) for side in (layout.sketches, layout.photos, layout.base)
    )
    if sketches is None or photos is None:
        return None
    return FoundLayout(layout.name, base, sketches, photos, extra)


def _existing(base: Path, folders: Sequence[str]) -> Iterator[Path]:
    for relative in folders:
        folder: Path | None = base
        for part in relative.split("/"):
            folder = _child(folder, part) if folder else None
        # Sketchy's sketch folder is no folder of classes: its variants come first.
        if folder and ("tx_" in relative or not _variants(folder)):
            yield folder


def _child(folder: Path, name: str) -> Path | None:
    if name.startswith("tx_*"):
        ready = name.endswith("_ready")
        found = [p for p in _variants(folder) if p.name.lower().endswith("_ready") == ready]
        default = [p for p in found if p.name.lower().startswith(_DEFAULT_VARIANT)]
        found = default or found
        return found[0] if len(found) == 1 else None
    exact = folder / name
    if exact.is_dir():
        return exact
    try:
        found = [p for p in folder.iterdir() if p.name.lower() == name.lower() and p.is_dir()]
    except OSError:  # a neighbour that nobody asked for may be closed to us
        return None
    return found[0] if len(found) == 1 else None


def _variants(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if _VARIANT.fullmatch(p.name) and p.is_dir())
    except OSError:
        return []
