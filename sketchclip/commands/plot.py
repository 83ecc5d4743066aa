"""``sketchclip plot``: every figure that the given runs allow, and why the others are missing."""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError
from sketchclip.plots.classes import draw_classes
from sketchclip.plots.curves import CURVES, draw_curve
from sketchclip.plots.embedding import draw_map
from sketchclip.plots.style import headline, save, styled
from sketchclip.plots.training import draw_training
from sketchclip.runs.reading import Run, find_runs

_WHY = {
    "fraction": "data.train_fraction",
    "classes": "data.seen_classes",
    "prompts": "model.adaptation.n_prompts",
    "patches": "model.patches",
}
_NEEDS = {
    "training": "no run has losses: give folders of 'sketchclip fit'",
    "bars": "no run has queries.csv: give folders of 'sketchclip test'",
    "map": "no run has embeddings: give folders of 'sketchclip predict'",
}
_EXAMPLES = """examples:
  sketchclip plot runs/embedded/fine_grained -o figures
  sketchclip plot runs/doodles/version_3 -o figures --figures map --classes apple,cat,clock
  sketchclip plot runs/embedded/category -o figures --figures prompts --metric mAP@all --formats pdf
"""


def _listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def run(args: Sequence[str]) -> list[Path]:
    """Run ``sketchclip plot``.

    Args:
        args: Arguments after the command.

    Returns:
        The files written.

    Raises:
        SketchClipError: If there are no runs, or nothing can be drawn of them.
    """
    kinds = [*CURVES, *_NEEDS]
    parser = Parser(
        prog="sketchclip plot",
        description=__doc__,
        epilog=_EXAMPLES,
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or folders of them")
    parser.add_argument("-o", type=Path, default=Path("figures"), help="folder (figures)")
    parser.add_argument("--figures", type=_listed, default=kinds, help=f"of {','.join(kinds)}")
    parser.add_argument("--metric", help="default: Acc@1, mAP@200 on Sketchy, else mAP@all")
    parser.add_argument("--formats", type=_listed, default=["png", "svg"], help="png,svg,pdf")
    parser.add_argument("--classes", type=_listed, default=[], help="in colour on the map")
    parser.add_argument("--points", type=int, default=2000, help="images on the map (2000)")
    parser.add_argument("--perplexity", type=float, default=30, help="of t-SNE (30)")
    parser.add_argument("--seed", type=int, default=0, help="of t-SNE (0)")
    options = parser.parse_args(list(args))
    for name, known in (("figures", kinds), ("formats", ["png", "svg", "pdf"])):
        if unknown := {*getattr(options, name)} - {*known}:
            raise SketchClipError(
                f"--{name} {', '.join(sorted(unknown))}: expected some of {', '.join(known)}."
            )
    runs, left_out = find_runs(options.runs)
    with styled():
        written, missing = _draw(runs, options)
    print("\n".join(f"Drawn: {path}" for path in written))
    for line in [*left_out, *missing]:
        print(f"Left out: {line}")
    if not written:
        raise SketchClipError(f"Nothing could be drawn of {len(runs)} runs; the reasons are above.")
    return written


def _draw(runs: Sequence[Run], options: argparse.Namespace) -> tuple[list[Path], list[str]]:
    written: list[Path] = []
    missing: list[str] = []
    names: set[str] = set()

    def add(kind: str, suffix: str, draw: Callable[[], Any]) -> bool:
        name, number = f"{kind}_{suffix}", 1
        while name in names:
            number += 1
            name = f"{kind}_{suffix}_{number}"
        try:
            figure = draw()
        except SketchClipError as error:
            missing.append(f"{kind} of {suffix}: {error}")
            return True
        if figure is None:
            return False
        names.add(name)
        written.extend(save(figure, options.o, name, options.formats))
        return True

    # Figures of different protocols, data or backbones never share an axis.
    groups: dict[Any, list[Run]] = defaultdict(list)
    for one in runs:
        if one.summary:
            groups[one.group].append(one)
    for kind in options.figures:
        drawn: list[bool] = []
        if kind in CURVES:
            for group in groups.values():
                metric = options.metric or headline(group[0])
                draw = partial(draw_curve, group, CURVES[kind], metric)
                drawn.append(add(kind, str(group[0].summary.get("dataset")), draw))
            reason = f"no two tested runs differ in {_WHY[kind]} and seed alone"
        else:
            reason = _NEEDS[kind]
            for seeds in _experiments(runs, kind):
                one = seeds[0]
                if kind == "training":
                    draw = partial(draw_training, seeds, options.metric)
                elif kind == "bars":
                    draw = partial(draw_classes, seeds, options.metric or headline(one))
                else:
                    drawing = (options.points, options.perplexity, options.seed, options.classes)
                    draw = partial(draw_map, one, *drawing)
                drawn.append(add(kind, one.name, draw))
        if not any(drawn):
            missing.append(f"{kind}: {reason}")
    return written, missing


def _experiments(runs: Sequence[Run], kind: str) -> list[list[Run]]:
    """Runs that have what a figure needs, those that differ by the seed alone together."""
    found: dict[Any, list[Run]] = defaultdict(list)
    for run in runs:
        if kind == "map" and run.embeddings:
            found[run.folder].append(run)
        elif (kind == "training" and run.steps) or (kind == "bars" and run.test):
            same = found[run.name, run.others(), run.group if kind == "bars" else ()]
            if run.seed not in {other.seed for other in same}:
                same.append(run)
    return list(found.values())
