"""Which photos lie under some folders."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from data_modules.images.decode import EXTENSIONS
from data_modules.listing.layouts import IGNORED
from sketchclip.errors import SketchClipError


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
        """Of the place, not of the content: 32 hexadecimal digits of the path."""
        return blake2b(Path(self.path).as_posix().encode(), digest_size=16).hexdigest()


@dataclass
class Found:
    """What lies under the folders.

    Attributes:
        photos: In the order of roots and names.
        skipped: Path and reason of files that cannot be photos.
        unlisted: Path and reason of folders that cannot be listed.
    """

    photos: list[Photo] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)


def find_photos(roots: Sequence[Path]) -> Found:
    """List the photos under folders, at any depth.

    Photos are files of the kinds that data modules read, by their ending. Hidden files and folders
    and what operating systems leave behind are passed over. Links are followed; a folder that was
    listed before, by another way or as part of another root, is not listed again, so that a photo
    is found once and loops end.

    Args:
        roots: Folders.

    Returns:
        Photos, and what was passed over for a reason that may be mended.

    Raises:
        SketchClipError: If a root is no folder or cannot be listed.
    """
    found, seen = Found(), set[tuple[int, int]]()
    for root in roots:
        if not root.is_dir():
            what = "is no folder" if root.exists() else "does not exist"
            raise SketchClipError(f"{root} {what}. Expected a folder with photos.")
        top = str(root.absolute())
        _list_folder(top, found, seen)
        if top in found.unlisted:
            raise SketchClipError(f"{root} {found.unlisted[top]}. Make it readable.")
    return found


def _list_folder(top: str, found: Found, seen: set[tuple[int, int]]) -> None:
    # A list of what is left, as folders may lie deeper than Python recurses.
    left: list[tuple[str, str | None]] = [(top, None)]
    while left:
        folder, name = left.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = [*_visible(folder)]
        except OSError as error:
            found.unlisted[folder] = f"cannot be listed ({error.strerror or error})"
            continue
        below = []
        for entry in entries:
            if entry.is_dir():
                below.append((entry.path, entry.name))
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                _add(entry, name, found)
        left += reversed(below)


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    """Entries by name. Cameras begin names with an underscore, so these are not hidden."""
    with os.scandir(folder) as entries:
        kept = [e for e in entries if e.name[0] != "." and e.name.lower() not in IGNORED]
    yield from sorted(kept, key=lambda entry: entry.name)


def _add(entry: os.DirEntry[str], class_name: str | None, found: Found) -> None:
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        found.skipped[ascii(entry.path)[1:-1]] = "its name is not UTF-8: rename it"
        return
    try:
        status = entry.stat()
    except OSError as error:
        gone = "a link to a missing file" if entry.is_symlink() else error.strerror or str(error)
        found.skipped[entry.path] = gone
        return
    if not entry.is_file():  # reading a pipe would wait forever
        found.skipped[entry.path] = "no regular file"
        return
    found.photos.append(Photo(entry.path, class_name, status.st_size, status.st_mtime_ns))
