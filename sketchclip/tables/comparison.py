"""Tables that compare the rows of one protocol: their order, and what their training costs."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.metrics.definitions import metric_info
from sketchclip.runs.results import check_same_queries, read_results
from sketchclip.runs.uncertainty import bootstrap_interval, paired_test
from sketchclip.tables.formats import ResultTable
from sketchclip.tables.measured import Group
from sketchclip.tables.paper import LABELS, is_named, label_of


def order_table(group: Group) -> list[ResultTable]:
    """Put the rows of a group in order and test each against the next.

    Returns:
        One table; none if fewer than two rows have the metric of the group.

    Raises:
        SketchClipError: If the tests are not on the same queries, or a file is missing.
    """
    values = _per_query(group)
    names = list(values)
    nexts = dict(itertools.pairwise(names))
    return _compared(group, f"Order: {group.dataset}", "above the next row by", values, nexts)


def against_table(group: Group, row: str) -> list[ResultTable]:
    """Put the rows of a group in order and test each against one of them.

    Args:
        group: Rows of one protocol.
        row: Name of a run as in its folder, or as it is printed.

    Returns:
        One table; none if the group has no such row, or no other.

    Raises:
        SketchClipError: If the tests are not on the same queries, or a file is missing.
    """
    values = _per_query(group)
    named = [name for name in values if is_named(name, row)]
    if not named:
        return []
    label = label_of(named[0])
    others = {name: named[0] for name in values if name != named[0]}
    return _compared(
        group, f"Against {label}: {group.dataset}", f"above {label} by", values, others
    )


def _compared(
    group: Group, title: str, heading: str, values: dict[str, np.ndarray], others: dict[str, str]
) -> list[ResultTable]:
    """Print rows with their intervals, and each tested against its row of ``others``."""
    if len(values) < 2:
        return []
    label = metric_info(group.metric).label
    columns = ["", label, "95 % interval", heading, "95 % interval ", "p", "seeds"]
    table = ResultTable(title, columns)
    for name, mine in values.items():
        std = group.std(name, group.metric)
        mean = f"{group.mean(name, group.metric):.3f}" + ("" if std is None else f" ± {std:.3f}")
        tested = ["-"] * 3
        if name in others:
            gain = mine - values[others[name]]
            gain = gain[~np.isnan(gain)]
            span = _span(bootstrap_interval(gain), "+.3f")
            tested = [f"{gain.mean():+.3f}", span, f"{paired_test(gain, np.zeros_like(gain)):.4f}"]
        interval = _span(bootstrap_interval(mine[~np.isnan(mine)]), ".3f")
        seeds = ", ".join(map(str, sorted(group.seeds[name])))
        table.rows.append([group.label(name), mean, interval, *tested, seeds])
    table.caption = (
        f"{group.protocol}. Mean ± sample standard deviation over seeds. Intervals and p are over "
        "queries, whose values are averaged over the seeds first: bootstrap and paired permutation "
        "test, not corrected for the number of rows; classes and seeds are taken as given."
    )
    return [table]


def _per_query(group: Group) -> dict[str, np.ndarray]:
    """Read the metric of each query, (Q,), averaged over the seeds of a row, best row first."""
    folders: list[Path] = []
    summaries: list[dict[str, Any]] = []
    queries: list[list[str]] = []
    found: dict[str, list[np.ndarray]] = {}
    means = {name: group.mean(name, group.metric) for name in group.runs}
    names = [name for name, mean in means.items() if mean is not None]
    for name in sorted(names, key=lambda name: -(means[name] or 0)):
        for folder in group.tests[name]:
            summary, paths, values = read_results(folder)
            if group.metric not in values:
                raise SketchClipError(
                    f"{folder / 'queries.csv'}: expected a column {group.metric!r}, found "
                    f"{sorted(values)}; run 'sketchclip test' again."
                )
            folders.append(folder)
            summaries.append(summary)
            queries.append(paths)
            found.setdefault(name, []).append(values[group.metric])
    check_same_queries(folders, summaries, queries)
    return {name: np.mean(rows, axis=0) for name, rows in found.items()}


def _span(interval: tuple[float, float], form: str) -> str:
    return f"{interval[0]:{form}} to {interval[1]:{form}}"


def cost_table(group: Group) -> list[ResultTable]:
    """List parameters, speed and memory of the trainings of a group.

    Returns:
        One table; none if no run has a ``cost.json``.
    """
    if not group.costs:
        return []
    columns = ["", "trainable parameters", "batches", "s / epoch", "images / s", "peak memory (MB)"]
    table = ResultTable(f"Cost: {group.dataset}", columns)
    order = [*LABELS, *group.costs]
    for name in sorted(group.costs, key=order.index):
        costs = group.costs[name]
        memory = [cost["peak_memory_bytes"] for cost in costs]
        cells = [f"{costs[0]['trainable_parameters']:,}", f"{costs[0]['batches']:,}"]
        for key in ("seconds_per_epoch", "images_per_second"):
            value = np.median([cost[key] for cost in costs])
            cells.append(f"{value:,.0f}" if value >= 100 else f"{value:.3g}")
        cells.append("-" if None in memory else f"{max(memory) / 2**20:,.0f}")
        table.rows.append([group.label(name), *cells])
    devices = {f"{c['processes']} x {c['device']}" for costs in group.costs.values() for c in costs}
    threads = {str(cost["threads"]) for costs in group.costs.values() for cost in costs}
    table.caption = (
        f"{group.protocol}. Training alone, without validation; speed is the median, memory the "
        f"largest over seeds: of the GPU, on a CPU of the whole process. On {', '.join(devices)}, "
        f"{', '.join(sorted(threads))} threads. Behind a frozen encoder features are computed "
        "before the first epoch and count as images."
    )
    return [table]
