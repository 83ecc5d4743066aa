"""``sketchclip plot``: every figure that the given runs allow, and why others are missing."""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from data_modules.ranges import Count, Positive, Seed
from sketchclip.commands.arguments import Parser, listed
from sketchclip.errors import SketchClipError, printable
from sketchclip.plots.classes import plot_classes
from sketchclip.plots.cost import plot_cost
from sketchclip.plots.curves import CURVES, plot_curve
from sketchclip.plots.embedding import plot_map
from sketchclip.plots.style import save, styled
from sketchclip.plots.training import plot_training
from sketchclip.runs.reading import Run, find_runs
from sketchclip.system.outputs import all_or_none
from sketchclip.tables.paper import LATER, ROWS

_NEEDS = {
    **{k: f"no two tested runs differ in {c.setting} and seed alone" for k, c in CURVES.items()},
    "training": "no run has losses: give folders of 'sketchclip fit'",
    "cost": "no two tested runs of one protocol have a cost.json, which 'sketchclip fit' writes",
    "bars": "no run has queries.csv: give folders of 'sketchclip test'",
    "map": "no run has embeddings: give folders of 'sketchclip predict'",
}
_EXAMPLES = """examples:
  sketchclip plot runs/embedded/fine_grained -o figures
  sketchclip plot runs/doodles/version_0 -o figures --figures map --classes apple,cat,clock
  sketchclip plot runs/embedded/category -o figures --figures prompts --metric mAP@all --formats pdf
"""


def run(args: Sequence[str]) -> list[Path]:
    """Run the command; return the files written."""
    kinds = list(_NEEDS)
    parser = Parser(prog="sketchclip plot", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or folders of them")
    parser.add_argument("-o", type=Path, default=Path("figures"), help="folder (figures)")
    parser.add_argument("--figures", type=listed, default=kinds, help=f"some of {','.join(kinds)}")
    parser.add_argument("--metric", help="default: Acc@1, mAP@200 on Sketchy, else mAP@all")
    parser.add_argument("--formats", type=listed, default=["png", "svg"], help="png,svg,pdf")
    parser.add_argument("--classes", type=listed, default=[], help="in colour on the map")
    parser.add_argument("--points", type=Count, default=2000, help="images on the map (2000)")
    parser.add_argument("--perplexity", type=Positive, default=30, help="perplexity of t-SNE (30)")
    parser.add_argument("--seed", type=Seed, default=0, help="seed of t-SNE (0)")
    options = parser.parse_args(list(args))
    for name, known in (("figures", kinds), ("formats", ["png", "svg", "pdf"])):
        if unknown := {*getattr(options, name)} - {*known}:
            raise SketchClipError(
                f"--{name} {', '.join(sorted(unknown))}: expected some of {', '.join(known)}."
            )
    runs, left_out = find_runs(options.runs)
    with styled(), all_or_none(options.o) as building:
        made, missing = _plot(runs, options, building)
    written = [options.o / path.name for path in made]
    print("\n".join(f"Written: {path}" for path in written))
    for line in [*left_out, *missing]:
        print(printable(f"Left out: {line}"))
    if not written:
        raise SketchClipError(
            f"{len(runs)} runs allow none of these figures; the reasons are above."
        )
    return written


def _plot(
    runs: Sequence[Run], options: argparse.Namespace, folder: Path
) -> tuple[list[Path], list[str]]:
    """Save every figure in a folder, and list why others are missing."""
    written: list[Path] = []
    missing: list[str] = []
    names: set[str] = set()
    for kind in options.figures:
        possible = False
        for suffix, plot in _candidates(kind, runs, options):
            try:
                figure = plot()
            except SketchClipError as error:
                missing.append(f"{kind} of {suffix}: {error}")
                possible = True
                continue
            if figure is not None:
                name, number = f"{kind}_{suffix}", 1
                while name in names:
                    number += 1
                    name = f"{kind}_{suffix}_{number}"
                names.add(name)
                written += save(figure, folder, name, options.formats)
                possible = True
        if not possible:
            missing.append(f"{kind}: {_NEEDS[kind]}")
    return written, missing


def _candidates(
    kind: str, runs: Sequence[Run], options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield name and maker of each figure of a kind, for runs that may share one."""
    if kind == "map":
        how = (options.points, options.perplexity, options.seed, options.classes)
        yield from ((run.name, partial(plot_map, run, *how)) for run in runs if run.embeddings)
        return
    groups: dict[Any, dict[Any, Run]] = defaultdict(dict)
    for run in runs:
        # Metrics of different protocols, data or backbones never share an axis.
        if (kind in CURVES or kind == "cost") and run.summary:
            groups[run.group][run.folder] = run
        elif kind == "training" and run.steps:
            groups[run.name, run.others()].setdefault(run.seed, run)
        elif kind == "bars" and run.test:
            groups[run.name, run.others(), run.group].setdefault(run.seed, run)
    for group in (list(members.values()) for members in groups.values()):
        first = group[0]
        if kind == "training":
            yield first.name, partial(plot_training, group, options.metric)
            continue
        metric = options.metric or first.headline
        if kind == "bars":
            yield first.name, partial(plot_classes, group, metric)
            continue
        dataset = str(first.summary.get("dataset"))
        if kind == "cost":
            labels = {row.id: (row.label, row.group) for row in (*ROWS, *LATER)}
            yield dataset, partial(plot_cost, group, metric, labels)
        else:
            yield dataset, partial(plot_curve, group, CURVES[kind], metric)
