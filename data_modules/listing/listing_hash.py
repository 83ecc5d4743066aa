"""Hash of a listing: class, name and size of every file; nothing is read."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from data_modules.images.drawings import split_line


def listing_hash(listing: Mapping[str, Sequence[Path]], root: Path) -> dict[str, Any]:
    """Number of classes and files, and 16 digits over class, name and size of each file.

    Names are relative to ``root``, so that copies of the data elsewhere agree.
    """
    digest, sizes = blake2b(digest_size=8), dict[Path, int]()
    for name, paths in listing.items():
        for path in paths:
            file, _ = split_line(path)
            if file not in sizes:
                sizes[file] = _size(file)
            relative = path.relative_to(root) if path.is_relative_to(root) else path
            digest.update(f"{name}\0{relative.as_posix()}\0{sizes[file]}\n".encode())
    return {
        "classes": len(listing),
        "files": sum(map(len, listing.values())),
        "listing_hash": digest.hexdigest(),
    }


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a broken file is reported where it is read
        return -1
