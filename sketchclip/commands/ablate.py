"""``sketchclip ablate``: run a grid of cells and seeds, resume it, carry on past what fails."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sketchclip.commands.arguments import Parser, numbers
from sketchclip.runs.ablation import run_cells
from sketchclip.runs.ablation_grid import Cell, read_grid
from sketchclip.runs.folder import ROOT

_EXAMPLES = """examples:
  sketchclip ablate experiments/embedded/components.yaml --seeds 0,1 --jobs 2    no download
  sketchclip ablate experiments/ablations/components.yaml -- --data.root /path/to/Sketchy
  sketchclip ablate GRID --commands > commands.txt    one line a run, for a SLURM array
"""


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run ``sketchclip ablate``.

    Args:
        args: Arguments after the command; what follows ``--`` goes to every run.

    Returns:
        Titles of finished, skipped and failed runs.

    Raises:
        SystemExit: With status 1 if a run failed.
    """
    given = list(args)
    at = given.index("--") if "--" in given else len(given)
    given, extra = given[:at], given[at + 1 :]
    parser = Parser(
        prog="sketchclip ablate",
        description=__doc__,
        epilog=_EXAMPLES,
    )
    parser.add_argument("grid", help="YAML with cells")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated (default: 0,1,2)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--config", action="append", default=[], help="after each cell's own")
    parser.add_argument("--cells", default="", help="names, comma-separated (default: all)")
    parser.add_argument(
        "--output", type=Path, help="folder (default: runs/ and the grid's place under experiments)"
    )
    parser.add_argument("--commands", action="store_true", help="print the runs, run nothing")
    options = parser.parse_args(given)
    seeds = numbers("--seeds", options.seeds)
    only = [name for name in options.cells.split(",") if name]
    cells = read_grid(options.grid, seeds, options.config, only)
    output = options.output or default_output(options.grid)
    if options.commands:
        for cell in cells:
            print(_command(cell, options, output, extra))
        return {}
    return run_cells(cells, output, options.jobs, extra)


def default_output(grid: str) -> Path:
    """Folder of a grid: grids of one name in two folders must not share it.

    >>> default_output("experiments/scarcity/classes.yaml"), default_output("my/classes.yaml")
    (PosixPath('runs/scarcity/classes'), PosixPath('runs/classes'))
    """
    path = Path(grid).with_suffix("")
    inside = "experiments" in path.parts
    return ROOT.joinpath(
        *path.parts[path.parts.index("experiments") + 1 :] if inside else path.parts[-1:]
    )


def _command(cell: Cell, options: argparse.Namespace, output: Path, extra: list[str]) -> str:
    words = ["sketchclip", "ablate", options.grid, "--cells", cell.name]
    words += ["--seeds", str(cell.seed), "--output", str(output)]
    words += [part for config in options.config for part in ("--config", config)]
    return shlex.join([*words, *(["--", *extra] if extra else [])])
