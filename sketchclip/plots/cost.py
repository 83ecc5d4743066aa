"""Accuracy over the cost of training, a point for each row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sketchclip.plots.curves import FROZEN
from sketchclip.plots.style import GREY, PAGE, SMALL, caption, look, new_figure, protocol
from sketchclip.runs.reading import Run

COSTS = {
    "seconds": "training time (s)",
    "trainable_parameters": "trainable parameters",
}
_HEIGHT, _LABEL = 3.2, 0.14
"""Least height of the axes, and distance of labels, in inches."""


def plot_cost(runs: Sequence[Run], metric: str, labels: Mapping[str, tuple[str, str]]) -> Any:
    """Plot a metric over the time and the parameters of training; None with fewer than two rows.

    Args:
        runs: Tested runs of one protocol; a frozen model is a line.
        metric: Name of the metric.
        labels: Name of a run to its label and to its group, which has a colour.
    """
    runs = [run for run in runs if metric in run.summary.get("metrics", {})]
    rows: dict[str, list[Run]] = {}
    for run in runs:
        if run.cost:
            rows.setdefault(run.name, []).append(run)
    if len(rows) < 2:
        return None
    height = max(_HEIGHT, _LABEL * len(rows))
    figure = new_figure(PAGE, height + 1.0)
    groups = list(dict.fromkeys(_described(name, labels)[1] for name in rows))
    panels = figure.subplots(1, len(COSTS), sharey=True)
    for axes, (cost, title) in zip(panels, COSTS.items(), strict=True):
        points: list[tuple[float, float, str, str]] = []
        for name, members in rows.items():
            label, group = _described(name, labels)
            y = float(np.mean([100 * run.summary["metrics"][metric] for run in members]))
            x = float(np.median([run.cost[cost] for run in members]))
            colour, marker = look(groups.index(group))
            first = all(point[3] != group for point in points)
            style = {"color": colour, "marker": marker, "label": group if first else None}
            axes.plot([x], [y], linestyle="", **style)
            points.append((x, y, label, group))
        _log_scale(axes, [x for x, *_ in points])
        axes.set_xlabel(title)
        frozen = [run for run in runs if run.summary.get("method") in FROZEN]
        if frozen:
            y = 100 * np.mean([run.summary["metrics"][metric] for run in frozen])
            axes.axhline(y, color=GREY, linestyle="--", label="frozen", zorder=0)
        axes.margins(x=0.08, y=0.06)
        _label(axes, points, _LABEL / height)
    panels[0].set_ylabel(f"{metric} (%)")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper left", ncols=len(handles[0]))
    shown = [run for members in rows.values() for run in members]
    over = "Mean over seeds, of times the median. " if len({run.seed for run in shown}) > 1 else ""
    text = f"{over}Times are of training alone, without validation."
    caption(figure, f"{protocol(shown, metric)} {text}")
    return figure


def _log_scale(axes: Any, values: Sequence[float]) -> None:
    """Scale x by logarithms, with ticks at 1, 2 and 5 where decades are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    few = max(values) < 100 * min(values)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    """Write a number with k for thousands and M for millions.

    >>> _short(500), _short(20_000), _short(3e6)
    ('500', '20k', '3M')
    """
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _described(name: str, labels: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    return labels.get(name, (name, "other"))


def _label(axes: Any, points: Sequence[tuple[float, float, str, str]], gap: float) -> None:
    """Write labels in a column right of the points, joined by thin lines.

    Args:
        axes: Axes with the points.
        points: Position, label and group of each.
        gap: Least distance of labels, as a part of the height of the axes.
    """
    from scipy.optimize import isotonic_regression  # takes a part of a second

    low, high = axes.get_ylim()
    wanted = sorted(points, key=lambda point: point[1])
    steps = gap * np.arange(len(wanted))
    heights = np.array([(y - low) / (high - low) for _, y, _, _ in wanted])
    heights = isotonic_regression(heights - steps).x + steps  # least moves that keep the distance
    heights = np.minimum(heights, 1.0 - steps[::-1])
    for height, (x, y, text, _) in zip(heights, wanted, strict=True):
        axes.annotate(
            text,
            (x, y),
            (1.03, height),
            textcoords="axes fraction",
            fontsize=SMALL,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": GREY,
                "linewidth": 0.4,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )
