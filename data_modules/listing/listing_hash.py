"""Which files a run used, in one short hash: names and sizes, nothing is read."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any


def fingerprint(listing: Mapping[str, Sequence[Path]], root: Path) -> dict[str, Any]:
    """Summarise a listing, so that two runs can be told to be on the same files.

    Args:
        listing: Class name to files; ``x.ndjson#n`` counts with the size of the whole file.
        root: What the names are relative to: copies of the data elsewhere agree.

    Returns:
        Number of classes and files, and 16 digits over class, name and size of each file.
    """
    digest, sizes = blake2b(digest_size=8), dict[str, int]()
    for name, paths in listing.items():
        for path in paths:
            source = str(path)
            stem, drawing, _ = source.rpartition(".ndjson#")
            real = f"{stem}.ndjson" if drawing else source
            if real not in sizes:
                sizes[real] = _size(real)
            relative = path.relative_to(root) if path.is_relative_to(root) else path
            digest.update(f"{name}\0{relative.as_posix()}\0{sizes[real]}\n".encode())
    return {
        "classes": len(listing),
        "files": sum(map(len, listing.values())),
        "fingerprint": digest.hexdigest(),
    }


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # a broken file is reported where it is read
        return -1
