"""Ablation grids: named runs, each a config and its changes, times seeds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchclip.config import base_of, find_config, read_yaml
from sketchclip.errors import SketchClipError
from sketchclip.runs.grid_file import CELL_KEYS, read_grid_file


@dataclass(frozen=True)
class AblationRun:
    """One run of an ablation grid.

    Attributes:
        name: Name in the grid.
        seed: Seed of weights and data.
        configs: Config files, applied in this order.
        settings: Dotted names and values, applied after the configs.
        train: False if there is nothing to train, so that the run is a test alone.
        checkpoint: Checkpoint that is tested: last, or best on the validation classes.
        base: Run of the grid whose checkpoint is tested in place of one of its own.
    """

    name: str
    seed: int
    configs: tuple[Path, ...]
    settings: tuple[tuple[str, str], ...]
    train: bool = True
    checkpoint: str = "last"
    base: "AblationRun | None" = None

    @property
    def title(self) -> str:
        """Name and seed."""
        return f"{self.name}, seed {self.seed}"

    def folder(self, output: Path) -> Path:
        """Return the folder of the run."""
        return output / self.name / f"seed_{self.seed}"

    def options(self) -> list[str]:
        """List the arguments of ``sketchclip fit`` and ``test``."""
        options = [part for config in self.configs for part in ("--config", str(config))]
        options += [f"--{name}={value}" for name, value in self.settings]
        return [*options, f"--seed_everything={self.seed}", f"--data.seed={self.seed}"]

    def settings_hash(self, extra: Sequence[str] = ()) -> str:
        """Hash all settings, contents of configs included: results of another hash are stale."""
        digest = hashlib.sha256()
        for config in self.configs:
            for text in _texts(config):
                digest.update(text.encode())
        digest.update(json.dumps([self.settings, self.seed, self.checkpoint, [*extra]]).encode())
        if self.base is not None:
            digest.update(self.base.settings_hash(extra).encode())
        return digest.hexdigest()[:16]


def _texts(config: Path, above: Sequence[Path] = ()) -> list[str]:
    """Read a config and all that it extends."""
    base = base_of(config, read_yaml(config), above)
    below = [] if base is None else _texts(find_config(str(base)), [*above, config])
    return [config.read_text("utf-8"), *below]


def is_grid(path: Path) -> bool:
    """Tell if a YAML file is an ablation grid rather than the config of one run."""
    content = read_yaml(path)
    return isinstance(content, dict) and "cells" in content


def read_grid(
    path: str, seeds: Sequence[int], configs: Sequence[str] = (), only: Sequence[str] = ()
) -> list[AblationRun]:
    """Read the runs of a grid file.

    Args:
        path: YAML with ``cells``: name to a config or a list of them, or to a mapping with
            ``config`` (the same), settings by dotted name, ``train: false`` for a model that has
            nothing to train, ``checkpoint_of`` with the name of a cell whose configs, settings and
            checkpoint it tests with these settings more, such as another dataset, and ``seeds``,
            in place of those of the command. ``configs`` beside it
            lists what every run applies after its own configs, ``checkpoint: best`` tests the best
            epoch on the validation classes in place of the last, and ``extends`` names a grid whose
            keys and settings hold where the file has none. Paths are relative to their file.
        seeds: Seeds of every run.
        configs: Applied after the configs of the file.
        only: Names of the runs to take; empty for all.

    Returns:
        Runs in the order of the file, all seeds of a name in a row.

    Raises:
        SketchClipError: If the file is no grid, or a config or name does not exist.
    """
    source = find_config(path)
    content = read_grid_file(source)
    if not content["cells"]:
        raise SketchClipError(f"{source}: cells: expected at least one run, found none.")
    if unknown := {*only} - {*content["cells"]}:
        raise SketchClipError(
            f"{source} has no run {', '.join(sorted(unknown))}. Its runs: "
            f"{', '.join(content['cells'])}."
        )
    checkpoint = content.get("checkpoint", "last")
    shared = [*content.get("configs", []), *(find_config(config) for config in configs)]
    runs = []
    for name, entry in content["cells"].items():
        if only and name not in only:
            continue
        if (base := entry.get("checkpoint_of")) is not None:
            _check_base(source, content["cells"], name, base)
        for seed in entry.get("seeds", seeds):
            before = None
            if base is not None:
                before = _run(base, content["cells"][base], seed, shared, checkpoint)
            runs.append(_run(name, entry, seed, shared, checkpoint, before))
    return runs


def _run(
    name: str,
    entry: Mapping[str, Any],
    seed: int,
    shared: Sequence[Path],
    checkpoint: str,
    base: AblationRun | None = None,
) -> AblationRun:
    """Make the run of a cell and seed; a base gives the first of its configs and settings."""
    settings = tuple((k, _text(v)) for k, v in entry.items() if k not in CELL_KEYS)
    configs = [*entry.get("config", []), *shared]
    if base is not None:
        configs, settings = [*base.configs, *entry.get("config", [])], base.settings + settings
    train = entry.get("train", True) and base is None
    return AblationRun(name, seed, tuple(configs), settings, train, checkpoint, base)


def _check_base(source: Path, cells: Mapping[str, Any], name: str, base: str) -> None:
    found = cells.get(base)
    if found is None or "checkpoint_of" in found or not found.get("train", True):
        trained = [n for n, c in cells.items() if c.get("train", True) and "checkpoint_of" not in c]
        raise SketchClipError(
            f"{source}: {name}: checkpoint_of: {base}: expected a cell that trains: "
            f"{', '.join(trained) or 'there is none'}."
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
