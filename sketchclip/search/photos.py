"""List the photos under folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from data_modules.images.decode import BITMAPS
from data_modules.listing.entries import ending, no_folder, visible_entries
from sketchclip.errors import SketchClipError, is_systemic, printable


@dataclass(frozen=True)
class Photo:
    """A file that may be a photo.

    Attributes:
        path: Absolute.
        class_name: Folder directly above; None for a file that lies directly in the root.
        size: In bytes.
        mtime: Time of the last change in nanoseconds.
    """

    path: str
    class_name: str | None
    size: int
    mtime: int

    @cached_property
    def id(self) -> str:
        """Identity by path, not by content: 32 hexadecimal digits."""
        return blake2b(Path(self.path).as_posix().encode(), digest_size=16).hexdigest()


@dataclass
class FoundPhotos:
    """Photos under some folders, and what was passed over.

    Attributes:
        photos: In the order of roots and names.
        skipped: Path and reason of files that cannot be photos.
        unlisted: Path and reason of folders that cannot be listed.
    """

    photos: list[Photo] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)


def check_folders(roots: Sequence[Path]) -> None:
    """Refuse what is no folder; nothing is listed.

    Raises:
        SketchClipError: Names the first that is none.
    """
    for root in roots:
        if not root.is_dir():
            raise SketchClipError(f"{root} {no_folder(root)}. Expected a folder with photos.")


def find_photos(roots: Sequence[Path]) -> FoundPhotos:
    """List the photos under folders, at any depth, and what was passed over for a reason.

    Photos are files of the kinds that data modules read, by their ending. Hidden files and folders
    and what operating systems leave behind are passed over. Links are followed; a folder that was
    listed before, by another way or as part of another root, is not listed again, so that a photo
    is found once and loops end.

    Raises:
        SketchClipError: If a root is no folder or cannot be listed.
    """
    found, seen = FoundPhotos(), set[tuple[int, int]]()
    check_folders(roots)
    for root in roots:
        top = str(root.absolute())
        _list_folder(top, found, seen)
        if top in found.unlisted:
            raise SketchClipError(f"{root} {found.unlisted[top]}. Make it readable.")
    return found


def _list_folder(top: str, found: FoundPhotos, seen: set[tuple[int, int]]) -> None:
    # A list of what is left, as folders may lie deeper than Python recurses.
    left: list[tuple[str, str | None]] = [(top, None)]
    while left:
        folder, name = left.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = visible_entries(folder)
        except OSError as error:
            if is_systemic(error):
                raise
            found.unlisted[folder] = f"cannot be listed ({error.strerror or error})"
            continue
        below = []
        for entry in entries:
            if entry.is_dir():
                below.append((entry.path, entry.name))
            elif ending(entry.name) in BITMAPS:
                _add(entry, name, found)
        left += reversed(below)


def _add(entry: os.DirEntry[str], class_name: str | None, found: FoundPhotos) -> None:
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        found.skipped[printable(entry.path)] = "its name is not UTF-8: rename it"
        return
    try:
        status = entry.stat()
    except OSError as error:
        if is_systemic(error):
            raise
        gone = "a link to a missing file" if entry.is_symlink() else error.strerror or str(error)
        found.skipped[entry.path] = gone
        return
    if not entry.is_file():  # reading a pipe would wait forever
        found.skipped[entry.path] = "no regular file"
        return
    found.photos.append(Photo(entry.path, class_name, status.st_size, status.st_mtime_ns))
