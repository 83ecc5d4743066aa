"""Location of an index: a folder or a URI."""

from contextlib import AbstractContextManager
from pathlib import Path

from data_modules.cache import cache_folder
from data_modules.listing.entries import visible_names
from data_modules.locks import locked
from sketchclip.errors import SketchClipError, printable

LOCK, UNREADABLE = "lock", "unreadable.txt"


def is_uri(place: str) -> bool:
    """Whether a place is a URI rather than a folder."""
    return "://" in place


def check_folder(folder: Path, ours: set[str]) -> None:
    """Refuse a folder that is something else than an index, such as that of the photos."""
    if printable(folder) != str(folder):
        raise SketchClipError(
            f"{printable(folder)}: expected the folder of an index with a name of plain text."
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise SketchClipError(f"{folder} is a file. Expected the folder of an index.")
    other = [name for name in visible_names(folder) if name not in ours]
    if other:
        raise SketchClipError(
            f"{folder} is no index: it holds {', '.join(other[:5])}. Name a new or empty folder."
        )


def lock(place: str) -> AbstractContextManager[None]:
    """Keep a second process from writing; for a URI, a second process of this user.

    Raises:
        SketchClipError: If another process is writing.
    """
    busy = f"Another run is writing into the index {place}"
    if not is_uri(place):
        return locked(Path(place) / LOCK, busy)
    name = "".join(c if c.isalnum() else "-" for c in place)
    return locked(cache_folder() / "locks" / name, busy)
