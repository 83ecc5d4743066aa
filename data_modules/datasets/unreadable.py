"""The files that ``on_error=skip`` passed over, from all processes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch.utilities.rank_zero import rank_zero_only, rank_zero_warn

from sketchclip.errors import printable

SHOWN = 20


class UnreadableFiles:
    """Collects unreadable files of a run: in training, and by side in evaluation."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = {}

    def add(self, role: str, paths: Iterable[str]) -> None:
        """Note files that this process could not read.

        Args:
            role: training, sketch or photo.
            paths: The files.
        """
        self._found.setdefault(role, set()).update(paths)

    def gather(self) -> dict[str, list[str]]:
        """Files of all processes by role, sorted; every process must call it."""
        everywhere: list[Any] = [self._found]
        if dist.is_available() and dist.is_initialized():
            everywhere = [None] * dist.get_world_size()
            dist.all_gather_object(everywhere, self._found)
        roles = sorted({role for found in everywhere for role in found})
        return {r: sorted(set().union(*(f.get(r, ()) for f in everywhere))) for r in roles}

    def report(self, folder: str | None) -> None:
        """Warn once of all files and forget them; every process must call it.

        Args:
            folder: Run folder, for ``skipped.txt``.
        """
        found = self.gather()
        self._found = {}
        paths = sorted(map(printable, set().union(*found.values())))
        if not paths:
            return
        counts = ", ".join(
            f"{len(files):,} replaced in training"
            if role == "training"
            else f"{len(files):,} {role} left out of the evaluation"
            for role, files in found.items()
        )
        shown = "".join(f"\n  {path}" for path in paths[:SHOWN])
        more = f"\n  and {len(paths) - SHOWN:,} more" if paths[SHOWN:] else ""
        where = f"\nAll of them: {_write(folder, paths)}" if folder else ""
        rank_zero_warn(
            f"data.on_error=skip: {len(paths):,} files could not be read ({counts}):"
            f"{shown}{more}{where}\nRepair them, or see 'sketchclip data check'."
        )


@rank_zero_only
def _write(folder: str, paths: Iterable[str]) -> Path:
    target = Path(folder) / "skipped.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return target
