"""Shipped experiments, and runs on disk."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from sketchclip.commands.listed.classes import reported
from sketchclip.config import experiment_folders
from sketchclip.runs.folder import CONFIG
from sketchclip.runs.reading import Run, find_runs
from sketchclip.tables.paper import LATER, ROWS

_USES = {"cells": "ablate", "program": "wandb sweep"}
"""Commands of YAML files that are no configs of a run, by a key that they alone have."""


def experiments() -> list[dict[str, Any]]:
    """List the shipped YAML files: what each is, for which command, and what was published."""
    rows = {row.config: row for row in (*ROWS, *LATER)}
    folder = next(iter(experiment_folders()), None)
    if folder is None:
        return []
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        name, text = path.relative_to(folder).as_posix(), path.read_text("utf-8")
        use = next((use for key, use in _USES.items() if re.search(f"(?m)^{key}:", text)), "fit")
        row = rows.get(name)
        entry = {"name": f"experiments/{name}", "about": _first_sentence(text), "for": use}
        found.append({**entry, "reported": reported(row)})
    return found


def runs(root: Path) -> list[dict[str, Any]]:
    """List the runs below a folder, the newest first.

    Raises:
        SketchClipError: If the folder does not exist, or holds no run.
    """
    found = [run for run in find_runs([root])[0] if not _is_part(run.folder)]
    entries = [_described(run) for run in found]
    return sorted(entries, key=lambda entry: str(entry["date"]), reverse=True)


def _is_part(folder: Path) -> bool:
    """Whether a folder holds the embeddings of the run that it lies in."""
    return folder.name.startswith("predict") and (folder.parent / CONFIG).is_file()


def run_names(root: Path) -> list[str]:
    """Folders of runs that have a config, without those of their tests; no file is read."""
    found = {path.parent for path in root.rglob(CONFIG) if not path.parent.is_symlink()}
    return sorted(str(path) for path in found if found.isdisjoint(path.parents))


def _described(run: Run) -> dict[str, Any]:
    test, settings = run.summary, run.settings
    folder = run.folder
    if folder.name == "test" and (folder.parent / CONFIG).is_file():
        folder = folder.parent
    metric = run.headline if test else None
    changed = datetime.fromtimestamp((run.test or folder).stat().st_mtime)
    return {
        "name": str(folder),
        "method": test.get("method") or settings.get("model"),
        "dataset": test.get("dataset") or settings.get("data"),
        "split": test.get("split") or settings.get("data.split"),
        "seed": run.seed,
        "metric": metric,
        "value": None if metric is None else test["metrics"].get(metric),
        "date": changed.isoformat(" ", "minutes"),
    }


def _first_sentence(text: str) -> str:
    """First sentence of the comment on top of a YAML."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("# ") or line.startswith("#  "):  # indented: a command
            break
        lines.append(line[2:])
    return re.split(r"\.(?:\s|$)", " ".join(lines), maxsplit=1)[0].removesuffix(":")
