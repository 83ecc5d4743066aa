"""Measured results: what run folders hold, grouped so that only comparable figures meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.runs.reading import Run, find_runs

_SUBSETS = ("train_fraction", "seen_classes")
_KNOWN = frozenset(f"data.{name}" for name in _SUBSETS)


@dataclass(frozen=True)
class Protocol:
    """How figures were measured, in words; :attr:`Run.group` decides which may share a column.

    Attributes:
        dataset: Class name of the data module.
        split: Name of the split.
        description: Definition of the metric, and gallery.
        backbone: Name and hash of the frozen CLIP.
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


def collect(folders: Sequence[Path]) -> tuple[list[Group], list[str]]:
    """Read the tests under some folders.

    Runs that share the name of a cell and differ in a setting, or train on a part of the data, are
    rows of their own: their name says in what they differ.

    Args:
        folders: Of ``sketchclip ablate``, of single commands, or folders of these.

    Returns:
        One group for each protocol, in the order of the first run; and a line for everything that
        was left out.

    Raises:
        SketchClipError: If there is no test of all the data.
    """
    runs, left_out = find_runs(folders)
    groups: dict[tuple[str, ...], Group] = {}
    first: dict[tuple[tuple[str, ...], str], Run] = {}
    for run in runs:
        if not run.summary or run.summary.get("partial"):
            why = "tested a part of the data" if run.summary else "was not tested"
            left_out += [f"{run.folder}: {why}"] * bool(run.summary or run.steps)
            continue
        group = groups.setdefault(run.group, Group(_protocol(run.summary)))
        name = _row_name(run, first.setdefault((run.group, run.name), run))
        seeds = group.seeds.setdefault(name, [])
        if run.seed in seeds:
            left_out.append(f"{run.folder}: {name} has another run of seed {run.seed}")
            continue
        seeds.append(run.seed)
        group.commits.add(run.commit or "unknown")
        values = group.cells.setdefault(name, {})
        for metric, value in run.summary["metrics"].items():
            values.setdefault(metric, []).append(float(value))
    if not groups:
        reasons = "".join(f"\n  {line}" for line in left_out)
        raise SketchClipError(
            f"No finished run under {', '.join(map(str, folders))} to make a table of.{reasons}"
        )
    return list(groups.values()), left_out


def _row_name(run: Run, first: Run) -> str:
    """Of a cell, with what sets it apart from the paper's row, or from other runs of that name."""
    parts = [f"{key}={run.summary[key]}" for key in _SUBSETS if key in run.summary]
    own, others = dict(run.others()), dict(first.others())
    names = [name for name in own if own[name] != others.get(name) and name not in _KNOWN]
    return ", ".join([run.name, *parts, *(f"{name}={own[name]}" for name in names)])


def _protocol(result: Mapping[str, Any]) -> Protocol:
    backbone = result.get("backbone") or {}
    return Protocol(
        dataset=str(result["dataset"]),
        split=str(result["split"]),
        description=str(result["protocol"]),
        backbone=f"{backbone.get('name', 'none')} ({backbone.get('hash', '')})",
        queries=int(result["queries"]),
        gallery=int(result["gallery"]),
    )
