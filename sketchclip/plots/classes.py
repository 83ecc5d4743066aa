"""Bars of a metric for each class with 95 % intervals, best first."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sketchclip.plots import style
from sketchclip.plots.style import COLOURS, GREY, shorten
from sketchclip.runs.reading import Run
from sketchclip.runs.results import check_same_queries, read_classes, read_results
from sketchclip.runs.uncertainty import bootstrap_interval
from sketchclip.semantics.class_names import spoken

_ROWS, _ROW = 36, 0.145  # classes in a column before there are two; inches of a class


def plot_classes(runs: Sequence[Run], metric: str) -> Any:
    """Plot the mean of a metric over the queries of each class; None without the metric."""
    folders = [run.test for run in runs if run.test is not None]
    summaries, queries, values = zip(*map(read_results, folders), strict=True)
    if any(metric not in value for value in values):
        return None
    check_same_queries(folders, summaries, queries)
    per_query = 100 * np.mean([value[metric] for value in values], axis=0)
    classes = np.array(read_classes(folders[0]))
    bars = []
    for name in np.unique(classes):
        known = per_query[(classes == name) & ~np.isnan(per_query)]
        if len(known):
            bars.append((float(known.mean()), *bootstrap_interval(known), f"{name}", len(known)))
    bars.sort(key=lambda bar: (-bar[0], bar[3]))
    columns = 1 if len(bars) <= _ROWS else 2
    rows = -(-len(bars) // columns)
    figure = style.new_figure(style.COLUMN if columns == 1 else style.PAGE, 0.6 + _ROW * rows)
    chance = runs[0].summary["metrics"].get(f"chance_{metric}")
    overall = float(np.nanmean(per_query))
    for number, axes in enumerate(figure.subplots(1, columns, squeeze=False).flat):
        _column(axes, bars[number * rows : (number + 1) * rows], rows)
        axes.axvline(overall, color=COLOURS[1], linewidth=1, label=f"all queries: {overall:.1f}")
        if chance is not None:
            label = f"chance, all queries: {100 * chance:.1f}"
            axes.axvline(100 * chance, color=GREY, linestyle=":", label=label)
        axes.set_xlim(0, 100)
        axes.set_xlabel(f"{metric} (%)")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    text = f"{runs[0].name}. {style.protocol(runs, metric)} Bars: mean over the queries of a class"
    seeds = " and over seeds" if len(runs) > 1 else ""
    text += f" (their number behind its name){seeds}; whiskers: 95 % bootstrap interval."
    style.caption(figure, text)
    return figure


def _column(axes: Any, bars: Sequence[tuple[float, float, float, str, int]], rows: int) -> None:
    mean, low, high = (np.array([bar[i] for bar in bars]) for i in range(3))
    position = np.arange(len(bars))
    axes.barh(position, mean, height=0.72, color=COLOURS[5])
    span = np.maximum([mean - low, high - mean], 0)
    axes.errorbar(mean, position, xerr=span, fmt="none", ecolor="#333333", elinewidth=0.7)
    names = [f"{shorten(spoken(bar[3]), 30)} ({bar[4]})" for bar in bars]
    axes.set_yticks(position, names, fontsize=style.SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(rows - 0.4, -0.6)  # as tall a bar in a column that is not full
