"""The YAML of an ablation grid: read with those that it extends, and checked."""

import json
import re
from collections.abc import Mapping, Sequence
from os.path import isdir, isfile
from pathlib import Path
from typing import Any

from data_modules.listing.entries import is_hidden
from sketchclip.config import base_of, find_config, read_yaml
from sketchclip.errors import SketchClipError

_EXAMPLE = """cells:
  ours: ../sketchy.yaml
  without_cls:
    config: ../sketchy.yaml
    model.lambda_cls: 0"""
_KEYS = ("cells", "checkpoint", "configs", "extends")
CELL_KEYS = ("config", "train", "seeds", "checkpoint_of")
"""Keys of a cell that are no settings of the run."""
_PLAIN = re.compile(r"[^\s/\\.-][^/\\\x00-\x1f]{0,99}")


def read_grid_file(source: Path, above: Sequence[Path] = ()) -> dict[str, Any]:
    """Read a grid and those that it extends.

    Returns:
        ``cells``, each a mapping whose ``config`` and ``seeds`` are lists, ``configs`` and
        ``checkpoint``; the last two only where a file has them. Paths are those of files.

    Raises:
        SketchClipError: If a file is no grid, or something in it is of another type.
    """
    content = read_yaml(source)
    if not isinstance(content, dict) or not isinstance(content.get("cells"), dict):
        raise SketchClipError(
            f"{source}: expected a grid of runs, for example\n{_EXAMPLE}\nFor a single run use "
            f"'sketchclip fit --config {source}'."
        )
    if unknown := {*content} - {*_KEYS}:
        raise SketchClipError(
            f"{source}: {', '.join(sorted(map(str, unknown)))}: expected the keys cells, "
            "checkpoint, configs and extends."
        )
    checkpoint = content.get("checkpoint", "last")
    if checkpoint not in ("last", "best"):
        raise SketchClipError(f"{source}: checkpoint: {checkpoint!r}: expected last or best.")
    if "configs" in content:
        content["configs"] = _configs(source, "configs", content["configs"])
    cells = {name: _cell(source, name, entry) for name, entry in content["cells"].items()}
    content["cells"] = cells
    base = base_of(source, content, above)
    if base is None:
        return content
    if not isfile(base):
        raise SketchClipError(f"{source}: extends: {content['extends']} {_not_a_file(base)}")
    below = read_grid_file(base, [*above, source])
    del content["extends"]
    merged = {name: {**below["cells"].get(name, {}), **cell} for name, cell in cells.items()}
    return {**below, **content, "cells": {**below["cells"], **merged}}


def _cell(source: Path, name: Any, entry: Any) -> dict[str, Any]:
    """Check the name and the types of a cell; settings are checked where they are applied."""
    if not isinstance(name, str):
        text = {"True": "on", "False": "off", "None": "null"}.get(str(name), name)
        raise SketchClipError(
            f"{source}: cells: expected a text as the name of a run, found {name!r}. Put it into "
            f'quotes: "{text}": ...'
        )
    if not _PLAIN.fullmatch(name) or is_hidden(name):
        raise SketchClipError(
            f"{source}: cells: {name!r} names a folder: expected 1 to 100 characters without "
            "/ and \\, not with a dot, a hyphen or a blank in front, and none that systems use."
        )
    where = f"{name}: "
    if not isinstance(entry, Mapping):
        return {"config": _configs(source, where + "config", entry)}
    cell = dict(entry)
    for key, value in cell.items():
        if not isinstance(key, str):
            raise SketchClipError(
                f"{source}: {where}{key!r}: expected settings by dotted name, such as "
                "model.lambda_cls."
            )
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise SketchClipError(
                f"{source}: {where}{key}: expected numbers, texts, lists and mappings of them "
                f"({error}). A date is a text: put it into quotes."
            ) from error
    if "config" in cell:
        cell["config"] = _configs(source, where + "config", cell["config"])
    if "seeds" in cell:
        cell["seeds"] = cell["seeds"] if isinstance(cell["seeds"], list) else [cell["seeds"]]
        whole = all(type(seed) is int and seed >= 0 for seed in cell["seeds"])
        if not cell["seeds"] or not whole or len({*cell["seeds"]}) < len(cell["seeds"]):
            raise SketchClipError(
                f"{source}: {where}seeds: expected whole numbers from 0, each once, "
                f"found {entry['seeds']!r}."
            )
    for key, kind, what in (("train", bool, "true or false"), ("checkpoint_of", str, "a name")):
        if key in cell and type(cell[key]) is not kind:
            raise SketchClipError(f"{source}: {where}{key}: expected {what}, found {cell[key]!r}.")
    return cell


def _configs(source: Path, key: str, value: Any) -> list[Path]:
    """Paths of one config or of a list of them, relative to the file."""
    found = []
    for config in value if isinstance(value, list) else [value]:
        if not isinstance(config, str) or not config.strip():
            raise SketchClipError(
                f"{source}: {key}: expected the path of a YAML file, found {config!r}."
            )
        path = source.parent / config
        if not isfile(path):  # of a text that is too long, too
            path = _shipped(config) or path
        if not isfile(path):
            raise SketchClipError(f"{source}: {key}: {config} {_not_a_file(path)}")
        found.append(path)
    return found


def _shipped(config: str) -> Path | None:
    """Config of the package that ``experiments/<name>`` names, as on the command line."""
    if not config.startswith("experiments/"):
        return None
    try:
        return find_config(config)
    except SketchClipError:
        return None


def _not_a_file(path: Path) -> str:
    what = "is a folder, not a YAML file" if isdir(path) else "does not exist"
    return (
        f"{what}: {path.absolute()}. Paths in a grid are relative to the folder of the grid; "
        "experiments/NAME.yaml names a config of the package."
    )
