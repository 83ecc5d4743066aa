"""Results of tests in run folders, grouped so that only comparable ones meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.runs.reading import Run, find_runs
from sketchclip.runs.results import METRICS_FILE, SAME_METRICS
from sketchclip.tables.paper import label_of

_SUBSETS = ("train_fraction", "seen_classes")
_SUBSET_SETTINGS = frozenset(f"data.{name}" for name in _SUBSETS)


@dataclass
class Group:
    """Runs of one protocol; :attr:`Run.group` decides which may share a column.

    Attributes:
        dataset: Class name of the data module.
        protocol: Dataset, split, definition of the metric, gallery and backbone in one line.
        runs: Name of a run to metric to values, one for each seed.
        seeds: Name of a run to its seeds.
        commits: Commits of the code that made the runs.
        metric: Metric by which rows are put in order.
        tests: Name of a run to the folders of its tests, one for each seed.
        costs: Name of a run to the costs of its trainings, of the seeds that have one.
        kind: Protocol other than the paper's, by the title of its table; empty for the paper's.
        rankings: Name of a run to how it ranks, of those that score pairs.
    """

    dataset: str
    protocol: str
    runs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    metric: str = "mAP@all"
    tests: dict[str, list[Path]] = field(default_factory=dict)
    costs: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    kind: str = ""
    rankings: dict[str, str] = field(default_factory=dict)

    def label(self, run: str) -> str:
        """Printed name of a run, with how it ranks if it scores pairs."""
        ranking = self.rankings.get(run)
        return f"{label_of(run)}, {ranking}" if ranking and ranking not in run else label_of(run)

    def mean(self, run: str, metric: str) -> float | None:
        """Average over seeds; None if not measured."""
        values = self.runs.get(run, {}).get(metric, [])
        return float(np.mean(values)) if values else None

    def std(self, run: str, metric: str) -> float | None:
        """Compute the sample standard deviation over seeds; None with fewer than two."""
        values = self.runs.get(run, {}).get(metric, [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else None


def collect(folders: Sequence[Path]) -> tuple[list[Group], list[str]]:
    """Read the tests in and below folders.

    Runs that share a name and differ in a setting, or train on a part of the data, are separate
    rows: their name says in what they differ.

    Args:
        folders: Folders of ``sketchclip ablate``, of single commands, or folders of these.

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
        if lacking := [key for key in SAME_METRICS[:5] if key not in run.summary]:
            why = f"no {', '.join(lacking)} in {METRICS_FILE}, which 'sketchclip test' writes"
            left_out.append(f"{run.folder}: {why}")
            continue
        group = groups.setdefault(
            run.group,
            Group(
                str(run.summary["dataset"]),
                _protocol(run.summary),
                metric=run.headline,
                kind=_kind(run.summary),
            ),
        )
        name = _row_name(run, first.setdefault((run.group, run.name), run))
        seeds = group.seeds.setdefault(name, [])
        if run.seed in seeds:
            left_out.append(f"{run.folder}: {name} has another run of seed {run.seed}")
            continue
        seeds.append(run.seed)
        if ranking := run.summary.get("ranking"):
            group.rankings[name] = str(ranking)
        group.commits.add(run.commit or "unknown")
        group.tests.setdefault(name, []).append(run.test or run.folder)
        if run.cost:
            group.costs.setdefault(name, []).append(run.cost)
        values = group.runs.setdefault(name, {})
        for metric, value in run.summary["metrics"].items():
            values.setdefault(metric, []).append(float(value))
    if not groups:
        reasons = "".join(f"\n  {line}" for line in left_out)
        raise SketchClipError(
            f"No finished run under {', '.join(map(str, folders))} to make a table of.{reasons}"
        )
    return list(groups.values()), left_out


def _kind(summary: Mapping[str, Any]) -> str:
    """Name the protocol of a test that the paper has no figures for."""
    if summary.get("cross_dataset"):
        return "Cross-dataset"
    return "Generalised" if summary.get("generalized") else ""


def _row_name(run: Run, first: Run) -> str:
    """Name a run by all that sets it apart from the paper's row and from its namesakes."""
    subsets = [f"{key}={run.summary[key]}" for key in _SUBSETS if key in run.summary]
    ranking = run.summary.get("ranking")
    if ranking != first.summary.get("ranking"):
        subsets.append(ranking or "by vectors")
    settings, usual = dict(run.others()), dict(first.others())
    differing = [
        f"{name}={value}"
        for name, value in settings.items()
        if value != usual.get(name) and name not in _SUBSET_SETTINGS
    ]
    return ", ".join([run.name, *subsets, *differing])


def _protocol(summary: Mapping[str, Any]) -> str:
    backbone = summary.get("backbone") or {}
    return (
        f"{summary['dataset']}, split {summary['split']}, {int(summary['queries']):,} sketches, "
        f"{int(summary['gallery']):,} photos; {summary['protocol']}; backbone "
        f"{backbone.get('name', 'none')} ({backbone.get('hash', '')})"
    )
