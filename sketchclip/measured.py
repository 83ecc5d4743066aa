"""Measured results: what run folders hold, grouped so that only comparable figures meet."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.ablate import DONE
from sketchclip.errors import SketchClipError
from sketchclip.results import METRICS


@dataclass(frozen=True)
class Protocol:
    """What must be equal for two figures to share a column.

    Attributes:
        dataset: Class name of the data module.
        split: Name of the split.
        description: Definition of the metric, and gallery.
        backbone: Name and fingerprint of the frozen CLIP.
        queries: Number of sketches.
        gallery: Number of photos.
    """

    dataset: str
    split: str
    description: str
    backbone: str
    queries: int
    gallery: int

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.dataset}, split {self.split}, {self.queries:,} sketches, {self.gallery:,} "
            f"photos; {self.description}; backbone {self.backbone}"
        )


@dataclass
class Group:
    """Runs of one protocol.

    Attributes:
        protocol: Theirs.
        cells: Name of a cell to metric to one value a seed.
        seeds: Name of a cell to its seeds.
        commits: Of the code that made them.
    """

    protocol: Protocol
    cells: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)

    def mean(self, cell: str, metric: str) -> float | None:
        """Over seeds; None if not measured."""
        values = self.cells.get(cell, {}).get(metric, [])
        return float(np.mean(values)) if values else None

    def std(self, cell: str, metric: str) -> float | None:
        """Sample standard deviation over seeds; None with fewer than two."""
        values = self.cells.get(cell, {}).get(metric, [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


def collect(folders: Sequence[Path]) -> list[Group]:
    """Read the finished runs under some folders.

    Args:
        folders: Of ``sketchclip ablate``, or of single cells.

    Returns:
        One group for each protocol, in the order of the first run.

    Raises:
        SketchClipError: If there is no finished run, or one whose test covers a part of the data.
    """
    found = [done for folder in folders for done in sorted(folder.rglob(DONE))]
    if not found:
        raise SketchClipError(
            f"No finished run under {', '.join(map(str, folders))}: expected folders of "
            "'sketchclip ablate', <cell>/seed_<n> with cell.json and test/metrics.json."
        )
    groups: dict[Protocol, Group] = {}
    for done in found:
        cell, result = _read(done), _read(done.parent / "test" / METRICS)
        if result.get("partial"):
            raise SketchClipError(f"{done.parent} tested a part of the data; it is no result.")
        protocol = _protocol(result)
        group = groups.setdefault(protocol, Group(protocol))
        name = str(cell["cell"])
        group.seeds.setdefault(name, []).append(int(cell["seed"]))
        group.commits.add(str(cell.get("commit") or "unknown"))
        values = group.cells.setdefault(name, {})
        for metric, value in result["metrics"].items():
            values.setdefault(metric, []).append(float(value))
    return list(groups.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SketchClipError(
            f"{path}: cannot be read ({error}). Remove {path.parent} and start the grid again."
        ) from error
    return content


def _protocol(result: dict[str, Any]) -> Protocol:
    backbone = result.get("backbone") or {}
    parts = [str(result["protocol"])]
    parts += [f"{n}={result[n]}" for n in ("train_fraction", "seen_classes") if n in result]
    return Protocol(
        dataset=str(result["dataset"]),
        split=str(result["split"]),
        description="; ".join(parts),
        backbone=f"{backbone.get('name', 'none')} ({backbone.get('fingerprint', '')})",
        queries=int(result["queries"]),
        gallery=int(result["gallery"]),
    )
