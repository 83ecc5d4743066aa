"""Survey of class folders without opening files, and reading of every image."""

from dataclasses import dataclass, field
from pathlib import Path

from data_modules.images.decode import BITMAPS, UnreadableImageError
from data_modules.images.drawings import NDJSON
from data_modules.images.read import read_image
from data_modules.listing.entries import ending
from data_modules.listing.layouts import visible
from data_modules.listing.names import canonical
from data_modules.listing.scan import Listing
from data_modules.prepared.store import digest_of
from sketchclip.errors import SketchClipError

LARGE_FILE = 32 * 2**20
"""Bytes; a larger file makes each epoch wait for it."""

SMALL_SIDE = 8
"""Pixels; nothing can be recognized in a smaller image."""


@dataclass
class Survey:
    """Findings about the folder of one side, without opening a file; paths are sorted.

    Attributes:
        names: Images by canonical class name, as far as names tell; drawings inside files are not
            counted.
        spellings: Folders that share one canonical name.
        empty: Class folders without an image.
        zero: Images of zero bytes.
        large: Images above ``LARGE_FILE``.
        foreign: Files that are no images, and folders inside class folders.
    """

    names: Listing = field(default_factory=dict)
    spellings: list[list[Path]] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    zero: list[Path] = field(default_factory=list)
    large: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)


def survey(folder: Path, extensions: frozenset[str]) -> Survey:
    """Look through class folders for images with these lower-case endings, and for other files."""
    result = Survey()
    spellings: dict[str, list[Path]] = {}
    for entry in visible(folder):
        if not entry.is_dir():
            if ending(entry.name) != NDJSON or NDJSON not in extensions:
                result.foreign.append(Path(entry.path))
            continue
        images = []
        for item in visible(entry.path):
            path = Path(item.path)
            if ending(item.name) not in extensions or item.is_dir():
                result.foreign.append(path)
                continue
            images.append(path)
            # A dangling link has no size; reading it will say so.
            size = item.stat().st_size if item.is_file() else 1
            if size == 0:
                result.zero.append(path)
            elif size > LARGE_FILE and ending(item.name) in BITMAPS:
                result.large.append(path)
        if images:
            result.names.setdefault(canonical(entry.name), []).extend(images)
        else:
            result.empty.append(Path(entry.path))
        spellings.setdefault(canonical(entry.name), []).append(Path(entry.path))
    result.spellings = [folders for folders in spellings.values() if len(folders) > 1]
    return result


@dataclass(frozen=True)
class Reading:
    """Result of reading one image.

    Attributes:
        path: The image.
        digest: Hash of its content; equal for copies.
        error: Reason why it is unreadable, empty for good images.
        oddity: Unusual property of a good image, else empty.
    """

    path: Path
    digest: str
    error: str = ""
    oddity: str = ""


def read_one(path: Path) -> Reading:
    """Decode an image as training does; bad images give a reading with an error."""
    try:
        # 224 is what training asks for; JPEG then decodes at a reduced scale, yet to its end.
        image = read_image(path, 224)
    except SketchClipError as error:
        found = error.found if isinstance(error, UnreadableImageError) else ""
        return Reading(path, "", found or str(error))
    height, width = image.shape[:2]
    oddity = "one color all over" if image.min() == image.max() else ""
    if min(height, width) < SMALL_SIDE:
        oddity = f"{width} x {height} pixels"
    return Reading(path, digest_of(path), oddity=oddity)
