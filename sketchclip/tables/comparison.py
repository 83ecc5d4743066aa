"""Tables that compare the rows of one protocol: their order, and what their training costs."""

from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.metrics.definitions import metric_info
from sketchclip.runs.results import check_same_queries, read_results
from sketchclip.runs.uncertainty import bootstrap_interval, paired_test
from sketchclip.tables.formats import ResultTable
from sketchclip.tables.measured import Group
from sketchclip.tables.paper import LABELS, label_of


def order_table(group: Group) -> list[ResultTable]:
    """Put the rows of a group in order and test each against the next.

    Returns:
        One table; none if fewer than two rows have the metric of the group.

    Raises:
        SketchClipError: If the tests are not on the same queries, or a file is missing.
    """
    means = {name: group.mean(name, group.metric) for name in group.runs}
    names = sorted((n for n, m in means.items() if m is not None), key=lambda n: -(means[n] or 0))
    if len(names) < 2:
        return []
    values = _per_query(group, names)
    label = metric_info(group.metric).label
    columns = ["", label, "95 % interval", "above the next row by", "95 % interval ", "p", "seeds"]
    table = ResultTable(f"Order: {group.dataset}", columns)
    for at, name in enumerate(names):
        std = group.std(name, group.metric)
        mean = f"{means[name]:.3f}" + ("" if std is None else f" ± {std:.3f}")
        next_cells = ["-"] * 3
        if at + 1 < len(names):
            mine, other = values[name], values[names[at + 1]]
            known = ~np.isnan(mine) & ~np.isnan(other)
            mine, other = mine[known], other[known]
            span = _span(bootstrap_interval(mine - other), "+.3f")
            p = paired_test(mine, other)
            next_cells = [f"{(mine - other).mean():+.3f}", span, f"{p:.4f}"]
        own = values[name][~np.isnan(values[name])]
        seeds = ", ".join(map(str, sorted(group.seeds[name])))
        interval = _span(bootstrap_interval(own), ".3f")
        table.rows.append([label_of(name), mean, interval, *next_cells, seeds])
    table.caption = (
        f"{group.protocol}. Mean ± sample standard deviation over seeds. Intervals and p are over "
        "queries, whose values are averaged over the seeds first: bootstrap and paired permutation "
        "test, not corrected for the number of rows; classes and seeds are taken as given."
    )
    return [table]


def _per_query(group: Group, names: list[str]) -> dict[str, np.ndarray]:
    """Read the metric of each query, (Q,), averaged over the seeds of a row."""
    folders: list[Path] = []
    summaries: list[dict[str, Any]] = []
    queries: list[list[str]] = []
    found: dict[str, list[np.ndarray]] = {}
    for name in names:
        for folder in group.tests[name]:
            summary, paths, values = read_results(folder)
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
        table.rows.append([label_of(name), *cells])
    devices = {f"{c['processes']} x {c['device']}" for costs in group.costs.values() for c in costs}
    threads = {str(cost["threads"]) for costs in group.costs.values() for cost in costs}
    table.caption = (
        f"{group.protocol}. Training alone, without validation; speed is the median, memory the "
        f"largest over seeds: of the GPU, on a CPU of the whole process. On {', '.join(devices)}, "
        f"{', '.join(sorted(threads))} threads. Behind a frozen encoder features are computed "
        "before the first epoch and count as images."
    )
    return [table]
