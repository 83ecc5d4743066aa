"""Training curves: a panel for every term of the loss, and one for validation."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from sketchclip.plots.style import COLOURS, COLUMN, PAGE, SMALL, caption, new_figure
from sketchclip.runs.reading import Run

_TOTAL = "train/loss"
_FEW = 15
"""Steps up to which each has a marker."""

Columns = dict[str, tuple[np.ndarray, np.ndarray]]
"""Steps and values by name."""


def read_steps(run: Run) -> Columns:
    """Read steps and values of every column of metrics.csv that has any."""
    assert run.steps is not None
    with run.steps.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: Columns = {}
    for name in rows[0] if rows else ():
        pairs = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        if name not in ("step", "epoch") and pairs:
            columns[name] = tuple(np.array(pairs).T)
    return columns


def plot_training(runs: Sequence[Run], metric: str | None = None) -> Any:
    """Plot losses and a validation metric (Acc@1, else mAP@all) over steps; None without logs.

    A loss of a single term has one panel, which names the term.
    """
    logged = [read_steps(run) for run in runs]
    names = {name for columns in logged for name in columns}
    losses = sorted((n for n in names if n.startswith("train/")), key=lambda n: (n != _TOTAL, n))
    if not losses:
        return None
    titles = {name: name.partition("/")[2].replace("_", " ") for name in losses}
    if _TOTAL in titles:
        same = [name for name in losses[1:] if all(_equal(c, name, _TOTAL) for c in logged)]
        titles[_TOTAL] = f"loss: {titles[same[0]]}" if same else "total loss"
        losses = [name for name in losses if name not in same]
    wanted = [metric] if metric else ["Acc@1", "mAP@all"]
    validation = [f"val/{name}" for name in wanted if f"val/{name}" in names][:1]
    panels = [*losses, *validation]
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3 if len(panels) <= 6 else 4)
    rows = -(-len(panels) // columns)
    figure = new_figure(COLUMN if columns < 3 else PAGE, 0.3 + 1.45 * rows)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, name in zip(grid.flat, panels, strict=False):
        scale = 100 if name in validation else 1
        _curves(axes, [(x, scale * y) for x, y in (c[name] for c in logged if name in c)])
        of_metric = f"validation {name.removeprefix('val/')} (%)"
        axes.set_title(of_metric if name in validation else titles[name])
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for number, axes in enumerate(grid.flat[: len(panels)]):
        if number + columns >= len(panels):
            axes.set_xlabel("optimiser step")
            axes.tick_params(labelbottom=True)
    seeds = sorted({run.seed for run in runs})
    data = runs[0].settings.get("data", "data")
    many = f"s {', '.join(map(str, seeds))}: thin lines; their mean: thick" if seeds[1:] else None
    text = f"{runs[0].name}: {runs[0].settings.get('model', 'model')} on {data}; "
    terms = " as they enter the sum before their weights" if losses[1:] else ""
    caption(figure, f"{text}losses of single batches{terms}; seed{many or f' {seeds[0]}'}.")
    return figure


def _equal(columns: Columns, one: str, other: str) -> bool:
    """Whether two columns of a run hold the same; so do two that it has not."""
    pairs = [columns.get(name, (np.empty(0), np.empty(0))) for name in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*pairs, strict=True))


def _curves(axes: Any, curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Plot a curve a seed and their mean; a lone point has its value beside it."""
    alone = len(curves) == 1
    for steps, values in curves:
        width, alpha = (1.3, 1.0) if alone else (0.6, 0.5)
        size = 5 if len(steps) == 1 else 2.5
        options = {"marker": "o" if len(steps) <= _FEW else "", "markersize": size}
        axes.plot(steps, values, color=COLOURS[0], linewidth=width, alpha=alpha, **options)
    if not alone:
        steps = np.unique(np.concatenate([steps for steps, _ in curves]))
        inside = [s for s in steps if all(c[0][0] <= s <= c[0][-1] for c in curves)]
        mean = np.mean([np.interp(inside, *curve) for curve in curves], axis=0)
        style = {"marker": "o", "markersize": 5} if len(inside) == 1 else {}
        axes.plot(inside, mean, color=COLOURS[1], linewidth=1.5, **style)
    if all(len(steps) == 1 for steps, _ in curves):
        (x, y), text = np.mean([(s[0], v[0]) for s, v in curves], axis=0), "mean " * (not alone)
        place = {"xytext": (-6, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axes.annotate(f"{text}{y:.4g}", (x, y), fontsize=SMALL, **place)
