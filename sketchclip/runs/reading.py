"""Reading of run folders, those of ``sketchclip ablate`` and those of single commands."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.listing.entries import is_hidden
from sketchclip.config import read_settings
from sketchclip.errors import SketchClipError, first_line
from sketchclip.runs.folder import CONFIG, COST, ENVIRONMENT, FINISHED
from sketchclip.runs.results import METRICS_FILE, SAME_METRICS, read_summary

STEPS = "metrics.csv"
EMBEDDINGS = Path("embeddings") / "sketch.npz"
# Settings that may differ within an experiment: seeds, paths and machines.
_NOT_SETTINGS = re.compile(
    r"seed_everything|extends|ckpt_path|weights_only|return_predictions|verbose|trainer\.(logger|"
    r"callbacks|accelerator|strategy|devices|num_nodes|enable_|limit_test|limit_predict|"
    r"default_root|log_every).*|data\.(root|seed|subset_seed|num_workers|eval_batch_size|"
    r"prepared)|model\.class_names"
)


# Files of other programs, or half-written ones.
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error)


@dataclass(frozen=True)
class Run:
    """A training, a test, or both.

    Attributes:
        name: Name in the grid, else of the folder.
        seed: Seed of weights and data.
        folder: Folder of the run.
        summary: Content of metrics.json; empty without a test.
        settings: Content of config.yaml, by dotted names without ``init_args``.
        test: Folder with metrics.json and queries.csv.
        steps: metrics.csv of the training.
        embeddings: Folder with sketch.npz and photo.npz.
        commit: Commit of the code; None if unknown.
        cost: Content of cost.json; empty without one.
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
    cost: Mapping[str, Any] = field(default_factory=dict)

    def others(self, *varied: str) -> tuple[tuple[str, str], ...]:
        """List all settings but seeds, paths and the varied ones; equal within one curve."""
        return tuple(
            (name, str(value))
            for name, value in sorted(self.settings.items())
            if name not in varied and not _NOT_SETTINGS.fullmatch(name)
        )

    @property
    def group(self) -> tuple[str, ...]:
        """Protocol that runs must share before their metrics may share an axis."""
        return tuple(json.dumps(self.summary.get(key)) for key in SAME_METRICS)

    @property
    def headline(self) -> str:
        """Metric that figures and orders of rows show unless the user names one."""
        metrics = self.summary["metrics"]
        on_sketchy = str(self.summary.get("dataset")).startswith("Sketchy")
        first = ("Acc@1", "mAP@200" if on_sketchy else "")
        return next((name for name in first if name in metrics), "mAP@all")


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Find the runs in and below folders, and list in words what was left out."""
    runs: dict[Path, Run] = {}
    left_out: list[str] = []
    for path in paths:
        if not path.is_dir():
            raise SketchClipError(f"{path} is no folder. Expected a run, or a folder of runs.")
        for folder in _run_folders(path):
            try:
                runs[folder.resolve()] = _read(folder, left_out)
            except _UNREADABLE as error:
                ours = isinstance(error, SketchClipError)
                left_out.append(str(error) if ours else f"{folder}: cannot be read ({error})")
        steps = (file.parent for file in path.rglob("log.txt") if not _below_hidden(file, path))
        unfinished = [folder for folder in steps if not (folder / FINISHED).is_file()]
        left_out += [f"{folder}: failed or still running (no {FINISHED})" for folder in unfinished]
    if not runs:
        reasons = "".join(f"\n  {line}" for line in left_out)
        raise SketchClipError(
            f"No run in {', '.join(map(str, paths))}. Expected {METRICS_FILE} of 'sketchclip "
            f"test', {STEPS} of 'sketchclip fit' or {EMBEDDINGS} of 'sketchclip predict'."
            f"{reasons}"
        )
    return list(runs.values()), left_out


def _below_hidden(path: Path, root: Path) -> bool:
    """Whether a system or network drive has made this, such as a copy of a run it keeps."""
    return any(is_hidden(part) for part in path.relative_to(root).parts)


def _run_folders(path: Path) -> Iterator[Path]:
    if path.name in ("fit", "test") and (path.parent / FINISHED).is_file():
        path = path.parent
    files = (METRICS_FILE, STEPS, str(EMBEDDINGS), FINISHED)
    below = (p for p in path.rglob("*") if p.is_dir() and not _below_hidden(p, path))
    for folder in sorted({path, *below}):
        part = folder.name in ("fit", "test") and any(
            (folder.parent / file).is_file() for file in (FINISHED, "log.txt")
        )
        tested = any(folder.glob(f"test*/{METRICS_FILE}")) and not (folder / FINISHED).is_file()
        if not part and not tested and any((folder / file).is_file() for file in files):
            yield folder


def _facts(file: Path, left_out: list[str]) -> dict[str, Any]:
    """Content of a JSON file that a run can do without; {} without one."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found, dict):
            return found
        reason = "no mapping"
    except (OSError, ValueError, RecursionError) as error:
        reason = first_line(error)
    left_out.append(f"{file}: is damaged ({reason})")
    return {}


def _read(folder: Path, left_out: list[str]) -> Run:
    ablation: dict[str, Any] = {}
    test, fit = folder, folder
    if (folder / FINISHED).is_file():
        ablation = json.loads((folder / FINISHED).read_text("utf-8"))
        test, fit = folder / "test", folder / "fit"
    elif (folder / METRICS_FILE).is_file() and (folder.parent / CONFIG).is_file():
        fit = folder.parent  # 'sketchclip test' of a run writes inside it
    tested = (test / METRICS_FILE).is_file()
    summary = read_summary(test / METRICS_FILE) if tested else {}
    config = next((p / CONFIG for p in (fit, test) if (p / CONFIG).is_file()), None)
    content = read_settings(config) if config else {}
    trained = (fit / STEPS).is_file() and _has_losses(fit / STEPS)
    about = ablation or _facts(test / ENVIRONMENT, left_out)
    return Run(
        name=ablation.get("run") or _plain(folder),
        seed=int(ablation.get("seed", summary.get("seed", content.get("seed_everything") or 0))),
        folder=folder,
        summary=summary,
        settings=flat_settings(content),
        test=test if tested else None,
        steps=fit / STEPS if trained else None,
        embeddings=folder / "embeddings" if (folder / EMBEDDINGS).is_file() else None,
        commit=about.get("commit"),
        cost=_facts(fit / COST, left_out),
    )


def _plain(folder: Path) -> str:
    """Name a run by two folders: ``doodles_version_3`` says more than ``version_3``."""
    folder = folder.resolve()
    if folder.name in ("test", "predict") and (folder.parent / CONFIG).is_file():
        folder = folder.parent
    parts = 3 if (folder.parent / CONFIG).is_file() else 2
    return "_".join(folder.parts[-parts:])


def _has_losses(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8") as file:
        return any(name.startswith("train/") for name in next(csv.reader(file), []))


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names; a class counts under its bare name."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "init_args":
            flat |= flat_settings(value or {}, prefix)
        elif key == "class_path":
            flat[prefix.rstrip(".")] = str(value).rpartition(".")[2]
        elif isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
