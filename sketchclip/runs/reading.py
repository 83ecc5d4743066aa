"""Run folders as they lie on disk: those of ``sketchclip ablate`` and those of single commands."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sketchclip.errors import SketchClipError
from sketchclip.runs.folder import CELL, CONFIG, ENVIRONMENT
from sketchclip.runs.results import METRICS, SAME_FIGURES

STEPS = "metrics.csv"
EMBEDDINGS = Path("embeddings") / "sketch.npz"
# What may differ between runs that are the same experiment with another seed, place or machine.
_NOT_SETTINGS = re.compile(
    r"seed_everything|extends|ckpt_path|weights_only|return_predictions|verbose|trainer\.(logger|"
    r"callbacks|accelerator|strategy|devices|num_nodes|enable_|limit_test|limit_predict|"
    r"default_root|log_every).*|data\.(root|seed|subset_seed|num_workers|eval_batch_size|"
    r"prepared)|model\.class_names"
)


@dataclass(frozen=True)
class Run:
    """A training, a test, or both.

    Attributes:
        name: Of the cell, else of the folder.
        seed: For weights and data.
        folder: Of the run.
        summary: Content of metrics.json; empty without a test.
        settings: Of config.yaml, by dotted names without ``init_args``.
        test: Folder with metrics.json and queries.csv.
        steps: metrics.csv of the training.
        embeddings: Folder with sketch.npz and photo.npz.
        commit: Of the code; None if unknown.
    """

    name: str
    seed: int
    folder: Path
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]
    test: Path | None = None
    steps: Path | None = None
    embeddings: Path | None = None
    commit: str | None = None

    def others(self, *varied: str) -> tuple[tuple[str, str], ...]:
        """Settings apart from seeds, places and the varied ones; equal for runs of one curve."""
        return tuple(
            (name, str(value))
            for name, value in sorted(self.settings.items())
            if name not in varied and not _NOT_SETTINGS.fullmatch(name)
        )

    @property
    def group(self) -> tuple[str, ...]:
        """What runs must share before their figures may share an axis."""
        return tuple(json.dumps(self.summary.get(key)) for key in SAME_FIGURES)


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Find the runs in and below folders.

    Args:
        paths: Folders.

    Returns:
        Runs by path, and a line for everything that was left out.

    Raises:
        SketchClipError: If a folder does not exist or none holds a run.
    """
    runs: dict[Path, Run] = {}
    left_out: list[str] = []
    for path in paths:
        if not path.is_dir():
            raise SketchClipError(f"{path} is no folder. Expected a run, or a folder of runs.")
        for folder in _run_folders(path):
            try:
                runs[folder.resolve()] = _read(folder)
            except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
                left_out.append(f"{folder}: cannot be read ({error})")
        steps = (file.parent for file in path.rglob("log.txt"))
        unfinished = [folder for folder in steps if not (folder / CELL).is_file()]
        left_out += [f"{folder}: failed or still running (no {CELL})" for folder in unfinished]
    if not runs:
        raise SketchClipError(
            f"No run in {', '.join(map(str, paths))}. Expected {METRICS} of 'sketchclip test', "
            f"{STEPS} of 'sketchclip fit' or {EMBEDDINGS} of 'sketchclip predict'."
        )
    return list(runs.values()), left_out


def _run_folders(path: Path) -> Iterator[Path]:
    if path.name in ("fit", "test") and (path.parent / CELL).is_file():
        path = path.parent
    files = (METRICS, STEPS, str(EMBEDDINGS), CELL)
    for folder in sorted({path, *(p for p in path.rglob("*") if p.is_dir())}):
        cell = folder.name in ("fit", "test") and any(
            (folder.parent / file).is_file() for file in (CELL, "log.txt")
        )
        tested = any(folder.glob(f"test*/{METRICS}")) and not (folder / CELL).is_file()
        if not cell and not tested and any((folder / file).is_file() for file in files):
            yield folder


def _read(folder: Path) -> Run:
    cell: dict[str, Any] = {}
    test, fit = folder, folder
    if (folder / CELL).is_file():
        cell = json.loads((folder / CELL).read_text("utf-8"))
        test, fit = folder / "test", folder / "fit"
    elif (folder / METRICS).is_file() and (folder.parent / CONFIG).is_file():
        fit = folder.parent  # 'sketchclip test' of a run writes inside it
    tested = (test / METRICS).is_file()
    summary = json.loads((test / METRICS).read_text("utf-8")) if tested else {}
    config = next((p / CONFIG for p in (fit, test) if (p / CONFIG).is_file()), None)
    content = yaml.safe_load(config.read_text("utf-8")) if config else {}
    trained = (fit / STEPS).is_file() and _has_losses(fit / STEPS)
    where = test / ENVIRONMENT
    told = json.loads(where.read_text("utf-8")) if not cell and where.is_file() else cell
    return Run(
        name=cell.get("cell") or _plain(folder),
        seed=int(cell.get("seed", summary.get("seed", content.get("seed_everything") or 0))),
        folder=folder,
        summary=summary,
        settings=_flat(content),
        test=test if tested else None,
        steps=fit / STEPS if trained else None,
        embeddings=folder / "embeddings" if (folder / EMBEDDINGS).is_file() else None,
        commit=told.get("commit"),
    )


def _plain(folder: Path) -> str:
    """``doodles_version_3`` says more than ``version_3``, and than the folder of its test."""
    folder = folder.resolve()
    if folder.name in ("test", "predict") and (folder.parent / CONFIG).is_file():
        folder = folder.parent
    parts = 3 if (folder.parent / CONFIG).is_file() else 2
    return "_".join(folder.parts[-parts:])


def _has_losses(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8") as file:
        return any(name.startswith("train/") for name in next(csv.reader(file), []))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; a class counts under its bare name."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "init_args":
            flat |= _flat(value or {}, prefix)
        elif key == "class_path":
            flat[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
