"""``sketchclip list``: what can be named, one line each, without loading PyTorch."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

from data_modules.listing.entries import no_folder
from sketchclip.commands.arguments import Parser
from sketchclip.errors import SketchClipError, printable
from sketchclip.runs.folder import ROOT

KINDS = ("methods", "datasets", "backbones", "runs", "experiments")

_ROOM = 40
"""Characters that facts need beside a name; with fewer they go below it."""

_EXAMPLES = """examples:
  sketchclip list methods
  sketchclip list experiments --json
  sketchclip list runs --root GRID
  sketchclip list runs --names | head -1
"""


def run(args: Sequence[str]) -> list[dict[str, Any]]:
    """Run the command.

    Args:
        args: Arguments after the command.

    Returns:
        An entry of each, in the order in which it is printed.

    Raises:
        SketchClipError: If the folder of runs does not exist.
    """
    parser = Parser(prog="sketchclip list", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("kind", choices=KINDS, help="what is listed")
    parser.add_argument("--root", type=Path, help=f"folder of the runs (default: {ROOT})")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="all that is known, as JSON")
    shape.add_argument("--names", action="store_true", help="names alone, one a line")
    options = parser.parse_args(list(args))
    if options.root is not None and options.kind != "runs":
        raise SketchClipError(f"--root is the folder of runs, found with '{options.kind}'.")
    entries = _entries(options.kind, options.root)
    if options.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
    elif options.names:
        print("".join(f"{printable(entry['name'])}\n" for entry in entries), end="")
    else:
        _print(options.kind, entries)
    return entries


def _entries(kind: str, root: Path | None) -> list[dict[str, Any]]:
    if kind in ("methods", "datasets"):
        from sketchclip.commands.listed import classes

        return classes.methods() if kind == "methods" else classes.datasets()
    if kind == "backbones":
        from sketchclip.commands.listed.backbones import backbones

        return backbones()
    from sketchclip.commands.listed import folders

    if kind == "experiments":
        return folders.experiments()
    if root is not None and not root.is_dir():
        raise SketchClipError(f"--root {root} {no_folder(root)}. Expected a folder of runs.")
    return folders.runs(root or ROOT) if (root or ROOT).is_dir() else []


def _print(kind: str, entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        print(f"No {kind}. A first run: sketchclip fit --config experiments/doodles.yaml")
    width = max((len(entry["name"]) for entry in entries), default=0)
    # Other programs read a line for each; in a terminal lines end between words.
    columns = get_terminal_size().columns if sys.stdout.isatty() else None
    for entry in entries:
        print(printable(_row(entry["name"], _facts(kind, entry), width, columns), lines=True))


def _row(name: str, facts: Sequence[str], width: int, columns: int | None) -> str:
    """A name and its facts.

    Args:
        name: What is listed.
        facts: What follows the name.
        width: Characters of the longest name.
        columns: Characters of a line; None for one line of any length.
    """
    head, told = f"{name:<{width}}  ", printable("  ".join(facts))
    if columns is None:
        return head + told
    beside = columns - len(head) >= _ROOM
    indent = " " * (len(head) if beside else 4)
    text = fill(
        told,
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return head + text.lstrip() if beside else f"{name}\n{text}"


def _facts(kind: str, entry: Mapping[str, Any]) -> list[str]:
    """Columns behind a name."""
    if kind == "runs":
        parts = [entry["method"], entry["dataset"], entry["split"], f"seed {entry['seed']}"]
        value = entry["value"]
        parts.append("not tested" if value is None else f"{entry['metric']} {value:.3f}")
        return [str(part) for part in (*parts, entry["date"]) if part is not None]
    parts = [entry["about"]]
    if entry.get("for", "fit") != "fit":
        parts.append(f"[{entry['for']}]")
    if weights := entry.get("weights"):
        parts.append(f"[{', '.join(weights)}]")
    if values := entry.get("reported"):
        told = ", ".join(f"{column} {value:.3f}" for column, value in values.items())
        parts.append(f"[reported: {told}]")
    return parts
