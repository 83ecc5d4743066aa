"""``sketchclip quickstart``: prompt learning on a frozen CLIP and real doodles, offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sketchclip.commands.arguments import Parser, numbers


def run(args: Sequence[str]) -> dict[str, Any]:
    """Run ``sketchclip quickstart``.

    Args:
        args: ``--seeds 0,1,2``, ``--output FOLDER`` and ``--epochs N``.

    Returns:
        What ``results.json`` holds.
    """
    parser = Parser(prog="sketchclip quickstart", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", help="of the trainings (default: 0,1,2)")
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="folder")
    parser.add_argument("--epochs", type=int, help="in place of the config's")
    options = parser.parse_args(args)
    seeds = numbers("--seeds", options.seeds)

    from sketchclip.commands.quickstart_run import quickstart

    return quickstart(seeds, options.output, options.epochs)
