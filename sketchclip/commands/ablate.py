"""``sketchclip ablate``: run an ablation grid over seeds, resume it, continue past failures."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_modules.ranges import Count
from sketchclip.commands.arguments import Parser, listed, seeds
from sketchclip.errors import SketchClipError
from sketchclip.runs.ablation import run_all
from sketchclip.runs.ablation_grid import read_grid
from sketchclip.runs.folder import ROOT

_EXAMPLES = """examples:
  sketchclip ablate experiments/embedded/components.yaml --seeds 0,1 --jobs 2    no download
  sketchclip ablate experiments/ablations/components.yaml -- --data.root /path/to/Sketchy
  sketchclip ablate GRID --commands > commands.txt    one line a run, for a SLURM array
"""
_OF_FIT = ("--data", "--model", "--trainer", "--seed_everything")
"""Options of fit that stand in front of a dot, or alone."""


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run the command; what follows ``--`` goes to every run. Status 1 if a run failed."""
    given = list(args)
    at = given.index("--") if "--" in given else len(given)
    given, extra = given[:at], given[at + 1 :]
    parser = Parser(prog="sketchclip ablate", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("grid", help="YAML with cells, one for each run")
    parser.add_argument(
        "--seeds", type=seeds, default="0,1,2", help="comma-separated (default: 0,1,2)"
    )
    parser.add_argument("--jobs", type=Count, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--config", action="append", default=[], help="after those of each run")
    parser.add_argument("--cells", type=listed, default=[], help="names (default: all)")
    parser.add_argument(
        "--output", type=Path, help="folder (default: runs/ and the grid's path under experiments)"
    )
    parser.add_argument("--commands", action="store_true", help="print the runs, run nothing")
    for option in (arg.partition("=")[0] for arg in given):
        if option.startswith("--") and option.partition(".")[0] in _OF_FIT:
            raise SketchClipError(
                f"{option}: an option of fit, for every run. Put those behind all others, after "
                f"--: sketchclip ablate GRID -- {option} VALUE."
            )
    options = parser.parse_args(given)
    runs = read_grid(options.grid, options.seeds, options.config, options.cells)
    output = options.output or default_output(options.grid)
    if options.commands:
        configs = [part for config in options.config for part in ("--config", config)]
        rest = ["--output", str(output), *configs, *(["--", *extra] if extra else [])]
        for one in runs:
            chosen = ["--cells", one.name, "--seeds", str(one.seed)]
            print(shlex.join(["sketchclip", "ablate", options.grid, *chosen, *rest]))
        return {}
    return run_all(runs, output, options.jobs, extra)


def default_output(grid: str) -> Path:
    """Choose the folder of a grid; grids of one name in two folders do not share it.

    >>> default_output("experiments/scarcity/classes.yaml"), default_output("my/classes.yaml")
    (PosixPath('runs/scarcity/classes'), PosixPath('runs/classes'))
    """
    path = Path(os.path.normpath(grid)).with_suffix("")
    if "experiments" not in path.parts:
        return ROOT / path.name
    return ROOT.joinpath(*path.parts[path.parts.index("experiments") + 1 :])
