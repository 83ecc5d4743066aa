"""Keep the input of each distinct fault, as small as simple means make it."""

import re
import time
from collections.abc import Callable
from pathlib import Path


def halve(data: bytes, stays: Callable[[bytes], bool], seconds: float = 5.0) -> bytes:
    """Remove spans while a fault stays: a half, then quarters, down to single bytes.

    Args:
        data: Input with the fault.
        stays: Whether a smaller input has the same fault.
        seconds: Time to spend at most.

    Returns:
        An input with the fault; no single span of the last size could be removed from it if the
        time was enough.

    >>> halve(b"some words and X between", lambda data: b"X" in data)
    b'X'
    """
    end, size = time.monotonic() + seconds, len(data) // 2
    while size:
        start = 0
        while start < len(data) and time.monotonic() < end:
            smaller = data[:start] + data[start + size :]
            if smaller != data and stays(smaller):
                data = smaller
            else:
                start += size
        size //= 2
    return data


class Kept:
    """Faults on disk: a folder each, with the input and what is known of it.

    Args:
        folder: Where they are kept; those of a campaign before count.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = {path.name for path in folder.glob("*")}

    def is_new(self, kind: str, place: str) -> bool:
        """Whether no fault of this kind and place is kept yet."""
        return _name(kind, place) not in self._known

    def keep(self, kind: str, place: str, about: str, data: bytes | None) -> Path | None:
        """Write a fault; None if one of its kind and place is there."""
        if not self.is_new(kind, place):
            return None
        name = _name(kind, place)
        self._known.add(name)
        folder = self._folder / name
        folder.mkdir(parents=True)
        if data is not None:
            (folder / "input").write_bytes(data)
        (folder / "about.txt").write_text(about, encoding="utf-8", errors="replace")
        return folder


def _name(kind: str, place: str) -> str:
    return re.sub(r"[^\w.=@-]+", "_", f"{kind}_{place}")[:120]
