"""Curves over a setting: amount of data, number of classes, prompts and patches."""

import textwrap
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sketchclip.plots.style import GREY, caption, look, new_figure, protocol
from sketchclip.runs.reading import Run

FROZEN = ("FrozenCLIP", "FrozenEncoder")
_CLASSES = ("model", "model.adaptation", "model.text_head")  # their value alone says enough


@dataclass(frozen=True)
class Curve:
    """A setting that a figure varies.

    Attributes:
        setting: Dotted name of the setting.
        label: Label of the axis.
        value: Value for a run; None where it has none.
    """

    setting: str
    label: str
    value: Callable[[Run], Any]


CURVES = {
    "fraction": Curve(
        "data.train_fraction",
        "training data (%)",
        lambda run: 100 * run.summary.get("train_fraction", 1.0) if run.steps else None,
    ),
    "classes": Curve(
        "data.seen_classes",
        "classes in training",
        lambda run: run.summary.get("training_classes") if run.steps else None,
    ),
    "prompts": Curve(
        "model.adaptation.n_prompts",
        "prompt tokens $K$",
        lambda run: run.settings.get("model.adaptation.n_prompts"),
    ),
    "patches": Curve(
        "model.patches", "patches along a side $n$", lambda run: run.settings.get("model.patches")
    ),
}

Series = dict[float, list[Run]]


def series_of(runs: Sequence[Run], curve: Curve) -> dict[Any, Series]:
    """Group runs that differ only in the setting and the seed, by value of the setting."""
    found: dict[Any, Series] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        value = curve.value(run)
        if value is not None and run.settings:
            at = found[run.others(curve.setting)][float(value)]
            if run.seed not in {other.seed for other in at}:
                at.append(run)
    return {key: dict(sorted(points.items())) for key, points in found.items() if len(points) > 1}


def plot_curve(runs: Sequence[Run], curve: Curve, metric: str) -> Any:
    """Plot a metric over a setting, a line for each set of other settings; None without one."""
    runs = [run for run in runs if metric in run.summary.get("metrics", {})]
    found = series_of(runs, curve)
    if not found:
        return None
    figure = new_figure(height=2.5)
    axes = figure.subplots()
    names, shown, spreads = _names(list(found)), [], set()
    for number, points in enumerate(found.values()):
        x = np.array(list(points))
        values = [np.array([_percent(run, metric) for run in at]) for at in points.values()]
        mean = np.array([v.mean() for v in values])
        low, high = np.array([_spread(at, metric) for at in points.values()]).T
        colour, marker = look(number)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        span = np.maximum([mean - low, high - mean], 0)
        options = {"color": colour, "marker": marker, "capsize": 2, "elinewidth": 0.8}
        axes.errorbar(x, mean, span, label=names[number], **options)
        spreads |= {len(v) > 1 for v in values}
        shown += [run for at in points.values() for run in at]
    ticks = sorted({x for points in found.values() for x in points})
    if len(ticks) <= 8 and min(np.diff(ticks)) > 0.05 * (ticks[-1] - ticks[0]):
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    chance = _references(axes, runs, metric)
    axes.set_xlabel(curve.label)
    axes.set_ylabel(f"{metric} (%)")
    lines = len(axes.get_legend_handles_labels()[0])
    if lines > 1:
        figure.legend(loc="outside upper left", ncols=1 if max(map(len, names)) > 24 else 2)
        figure.set_figheight(2.5 + 0.13 * lines)
    explained = {
        True: "Whiskers and band: one standard deviation over seeds.",
        False: "Points of one seed: 95 % bootstrap interval over queries.",
    }
    spread = " ".join(explained[s] for s in sorted(spreads)[::-1])
    caption(figure, f"{protocol(shown, metric)} {spread}{chance}")
    return figure


def _percent(run: Run, metric: str) -> float:
    return 100 * float(run.summary["metrics"][metric])


def _spread(runs: Sequence[Run], metric: str) -> tuple[float, float]:
    values = np.array([_percent(run, metric) for run in runs])
    if len(values) > 1:
        return values.mean() - values.std(ddof=1), values.mean() + values.std(ddof=1)
    low, high = runs[0].summary.get("interval_95", {}).get(metric, [values[0] / 100] * 2)
    return 100 * low, 100 * high


def _references(axes: Any, runs: Sequence[Run], metric: str) -> str:
    """Add lines of the frozen model and of chance, which becomes a text if far below."""
    frozen = [_percent(r, metric) for r in runs if r.summary.get("method") in FROZEN]
    if frozen:
        axes.axhline(np.mean(frozen), color=GREY, linestyle="--", label="frozen CLIP")
    chance = runs[0].summary["metrics"].get(f"chance_{metric}")
    if chance is None:
        return ""
    low, high = axes.get_ylim()
    if 100 * chance < low - 2 * (high - low):  # a line would press the curve flat
        return f" Chance: {100 * chance:.1f}."
    axes.axhline(100 * chance, color=GREY, linestyle=":", label="chance")
    return ""


def _names(keys: Sequence[tuple[tuple[str, str], ...]]) -> list[str]:
    """Name series by the settings in which they differ, parents before children."""
    settings = [dict(key) for key in keys]
    names = {name for one in settings for name in one}
    differ = {n for n in names if len({one.get(n) for one in settings}) > 1}
    top = sorted(n for n in differ if not any(n.startswith(f"{m}.") for m in differ))
    texts = [
        ", ".join(
            one[name] if name in _CLASSES else f"{name.rpartition('.')[2]}={one[name]}"
            for name in top
            if name in one
        )
        for one in settings
    ]
    model = settings[0].get("model", "run")
    return [textwrap.fill(text or model, 48) for text in texts]
