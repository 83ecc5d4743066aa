"""Training curves: a panel for every term of the loss, and one for validation."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from sketchclip.plots.style import COLOURS, COLUMN, PAGE, caption, new_figure
from sketchclip.runs.reading import Run

_TOTAL = "train/loss"


def read_steps(run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read steps and values of every column of metrics.csv that has any."""
    assert run.steps is not None
    with run.steps.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in rows[0] if rows else ():
        pairs = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        if name not in ("step", "epoch") and pairs:
            columns[name] = tuple(np.array(pairs).T)
    return columns


def plot_training(runs: Sequence[Run], metric: str | None = None) -> Any:
    """Plot losses and a validation metric (Acc@1, else mAP@all) over steps; None without logs."""
    logged = [read_steps(run) for run in runs]
    names = {name for columns in logged for name in columns}
    losses = sorted((n for n in names if n.startswith("train/")), key=lambda n: (n != _TOTAL, n))
    wanted = [metric] if metric else ["Acc@1", "mAP@all"]
    validation = [f"val/{name}" for name in wanted if f"val/{name}" in names][:1]
    panels = [*losses, *validation]
    if not losses:
        return None
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3 if len(panels) <= 6 else 4)
    rows = -(-len(panels) // columns)
    figure = new_figure(COLUMN if columns < 3 else PAGE, 0.3 + 1.35 * rows)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, name in zip(grid.flat, panels, strict=False):
        scale = 100 if name in validation else 1
        curves = [columns[name] for columns in logged if name in columns]
        for steps, values in curves:
            alone = len(curves) == 1
            width, alpha = (1.3, 1.0) if alone else (0.6, 0.5)
            mark = "o" if len(steps) < 8 else ""
            options = {"linewidth": width, "alpha": alpha, "marker": mark, "markersize": 2.5}
            axes.plot(steps, scale * values, color=COLOURS[0], **options)
        if len(curves) > 1:
            steps = np.unique(np.concatenate([steps for steps, _ in curves]))
            inside = [s for s in steps if all(c[0][0] <= s <= c[0][-1] for c in curves)]
            mean = np.mean([np.interp(inside, *curve) for curve in curves], axis=0)
            axes.plot(inside, scale * mean, color=COLOURS[1], linewidth=1.5)
        bare = name.partition("/")[2]
        title = f"validation {bare} (%)" if name in validation else bare.replace("_", " ")
        axes.set_title("total loss" if name == _TOTAL else title)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for number, axes in enumerate(grid.flat[: len(panels)]):
        if number + columns >= len(panels):
            axes.set_xlabel("optimiser step")
            axes.tick_params(labelbottom=True)
    seeds = sorted({run.seed for run in runs})
    data = runs[0].settings.get("data", "data")
    many = f"s {', '.join(map(str, seeds))}: thin lines; their mean: thick" if seeds[1:] else None
    text = f"{runs[0].name}: {runs[0].settings.get('model', 'model')} on {data}; losses as they "
    caption(figure, f"{text}enter the sum before their weights, seed{many or f' {seeds[0]}'}.")
    return figure
