"""Style of every figure: sizes for a column of a paper, colours that all eyes tell apart."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sketchclip.errors import SketchClipError
from sketchclip.metrics.definitions import metric_info
from sketchclip.runs.reading import Run

COLUMN, PAGE = 3.5, 7.16
"""Widths of a column and of a page in inches."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, the strongest contrasts first, without its yellow, which is too pale on
white, and its black, which is that of texts."""
MARKERS = "osD^vP*X"
GREY, LIGHT = "#7f7f7f", "#d9d9d9"
SMALL = 7
"""Smallest size of a text in points."""
_RC: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sketchclip",
}


@contextmanager
def styled() -> Iterator[None]:
    """Plot and save in the style of this module; refuse without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise SketchClipError(
            "Figures need matplotlib, which is not installed: pip install 'sketchclip[plot]'"
        ) from error
    with matplotlib.rc_context(_RC):
        yield


def look(number: int) -> tuple[str, str]:
    """Colour and marker of the n-th thing in a figure; the first 24 all differ in one of them.

    >>> look(0), look(6)
    (('#0072B2', 'o'), ('#0072B2', '*'))
    """
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def new_figure(width: float = COLUMN, height: float = 2.6) -> Any:
    """Make an empty figure that leaves room for all its texts."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def caption(figure: Any, text: str) -> None:
    """Write below the axes the content of a figure and how it was measured."""
    width = figure.get_figwidth()
    lines = textwrap.wrap(text, int(width * 17.5), break_on_hyphens=False)
    figure.set_figheight(figure.get_figheight() + 0.12 * len(lines))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=SMALL, color="#444444")


def save(figure: Any, folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write a figure in every format (png, svg, pdf), in a folder that is made if missing."""
    stem = re.sub(r"[^\w.=-]+", "_", name).strip("_")
    paths = [folder / f"{stem}.{form}" for form in formats]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            plain = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, metadata=plain)
    except OSError as error:
        raise SketchClipError(f"Cannot write into {folder} ({error}).") from error
    return paths


def protocol(runs: Sequence[Run], metric: str) -> str:
    """Describe metric, data, gallery, backbone and seeds in one paragraph."""
    summary = runs[0].summary
    backbone = summary.get("backbone") or {}
    seeds = sorted({run.seed for run in runs})
    return (
        f"{metric}: {metric_info(metric).meaning}; mean over queries. "
        f"{summary.get('dataset')}, split {summary.get('split')}: "
        f"{summary.get('queries', 0):,} sketches, "
        f"{summary.get('gallery', 0):,} photos, {len(summary.get('unseen_classes') or ())} unseen "
        f"classes; {summary.get('protocol')}. "
        + ("Part of the data only. " if summary.get("partial") else "")
        + (f"Backbone {backbone.get('name')}. " if isinstance(backbone, dict) and backbone else "")
        + f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."
    )


def shorten(text: str, length: int) -> str:
    """Cut a text to a length.

    >>> shorten("a very long name", 8)
    'a very …'
    """
    return text if len(text) <= length else text[: length - 1] + "…"
