"""Commands that are disturbed, and what has to be there when they have come to their end."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tools.campaigns.kinds.cases import Fixtures
from tools.campaigns.processes import REPOSITORY
from tools.campaigns.samples import BACKBONE, fit_options

Result = dict[str, str]
"""Names of what was made, and a hash or a text of each."""
Arguments = Callable[[Fixtures, Path], list[str]]


@dataclass(frozen=True)
class Task:
    """A command.

    Attributes:
        args: Its arguments.
        result: What it has made in the work folder so far, and finished.
        again: Arguments of the command that goes on after an interruption, by default the same;
            None: nothing is left to do.
        before: Lays out the work folder.
        whole: Whether what is there at any moment has to be right; else only at the end.
        stays: Whether the names of all files at the end are those of an undisturbed run.
    """

    args: Arguments
    result: Callable[[Fixtures, Path], Result]
    again: Callable[[Fixtures, Path], list[str] | None] | None = None
    before: Callable[[Fixtures, Path], None] | None = None
    whole: bool = True
    stays: bool = True


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _files(*names: str) -> Callable[[Fixtures, Path], Result]:
    def result(_: Fixtures, work: Path) -> Result:
        out = work / "out"
        found = (path for name in names for path in out.glob(name))
        return {str(path.relative_to(out)): _digest(path.read_bytes()) for path in found}

    return result


def _fit(fixtures: Fixtures, work: Path) -> list[str]:
    return ["fit", *fit_options(fixtures.data, work / "out", epochs=2)]


def _versions(work: Path) -> list[Path]:
    found = (work / "out" / "own_data").glob("version_*/checkpoints/last.ckpt")
    return sorted(path.parents[1] for path in found)


def _fit_result(_: Fixtures, work: Path) -> Result:
    """Tensors of the last checkpoint after the last epoch."""
    for version in _versions(work)[-1:]:
        path = version / "checkpoints" / "last.ckpt"
        content = torch.load(path, weights_only=True)
        if content["epoch"] == 1:
            state = content["state_dict"].items()
            return {name: _digest(value.numpy().tobytes()) for name, value in state}
    return {}


def _fit_again(fixtures: Fixtures, work: Path) -> list[str] | None:
    if _fit_result(fixtures, work):
        return None
    resumed = [x for run in _versions(work)[-1:] for x in ("--ckpt_path", str(run))]
    return [*_fit(fixtures, work), *resumed]


def _write_grid(fixtures: Fixtures, work: Path) -> None:
    options = {"root": str(fixtures.data), "split": "random:3:0", "num_workers": 0, "batch_size": 4}
    config = {
        "extends": str(REPOSITORY / "experiments" / "own_data.yaml"),
        "trainer": {"max_epochs": 1, "limit_train_batches": 2, "enable_progress_bar": False},
        "data": {"class_path": "SketchPhotoFolder", "init_args": options},
    }
    (work / "own.yaml").write_text(json.dumps(config))
    cells = {"one": "own.yaml", "other": {"config": "own.yaml", "model.prompt_lr": 0.001}}
    (work / "grid.yaml").write_text(json.dumps({"cells": cells}))


def _ablate(_: Fixtures, work: Path) -> list[str]:
    return ["ablate", str(work / "grid.yaml"), "--seeds", "0", "--output", str(work / "out")]


def _cells(_: Fixtures, work: Path) -> Result:
    """Metrics of the finished runs of a grid."""
    found = {}
    for path in (work / "out").glob("*/seed_0/run.json"):
        metrics = json.loads((path.parent / "test" / "metrics.json").read_text("utf-8"))["metrics"]
        found[path.parents[1].name] = json.dumps(metrics, sort_keys=True)
    return found


def _export(fixtures: Fixtures, work: Path) -> list[str]:
    return ["export", str(fixtures.run), "--to", str(work / "out" / "model")]


def _export_again(fixtures: Fixtures, work: Path) -> list[str] | None:
    done = _files("model/*")(fixtures, work)
    return None if len(done) >= 4 else _export(fixtures, work)


def _prepare(fixtures: Fixtures, work: Path) -> list[str]:
    sizes = ["--size", "64", "--workers", "1"]
    return ["data", "prepare", str(fixtures.data), "--out", str(work / "out"), *sizes]


def _prepared(fixtures: Fixtures, work: Path) -> Result:
    from data_modules.prepared.reader import PreparedReader
    from data_modules.prepared.store import read_entries
    from data_modules.transforms import Fit

    if not (work / "out" / "prepared.json").is_file():
        return {}
    reader = PreparedReader(work / "out", Fit(64, "letterbox", "bicubic"), fixtures.data)
    names = read_entries(work / "out")
    return {name: _digest(reader(fixtures.data / name).tobytes()) for name in names}


def _copy_photos(fixtures: Fixtures, work: Path) -> None:
    shutil.copytree(fixtures.data / "photo", work / "data")


def _copy_index(fixtures: Fixtures, work: Path) -> None:
    """An index, and photos of which some are new and some gone since."""
    shutil.copytree(fixtures.index, work / "out")
    more = work / "data"
    for number, path in enumerate(sorted((fixtures.data / "photo").rglob("*.jpg"))[:6]):
        copy = more / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes() + bytes([number]))


def _index(_: Fixtures, work: Path) -> list[str]:
    return ["index", str(work / "data"), "-o", str(work / "out"), "--backbone", BACKBONE]


def _update(_: Fixtures, work: Path) -> list[str]:
    return ["index", str(work / "data"), "-o", str(work / "out"), "--update"]


def _index_again(fixtures: Fixtures, work: Path) -> list[str]:
    from sketchclip.search.engine import VectorEngine

    engine = VectorEngine(str(work / "out"))
    known = engine.exists() and engine.about["complete"]
    return _update(fixtures, work) if known else _index(fixtures, work)


def _indexed(_: Fixtures, work: Path) -> Result:
    from sketchclip.search.engine import VectorEngine

    engine = VectorEngine(str(work / "out"))
    if not engine.exists():
        return {}
    rows = engine.scan("path", "vector")
    pairs = zip(rows["path"], rows["vector"], strict=True)
    return {path: str([round(float(v), 3) + 0.0 for v in vector[:16]]) for path, vector in pairs}


def _evaluate(_: Fixtures, work: Path) -> list[str]:
    noise = np.random.default_rng(0)
    for name, count in (("q", 9), ("g", 21)):
        states = noise.normal(size=(count, 8)).astype(np.float32)
        np.savez(work / f"{name}.npz", state=states, label=np.arange(count) % 3)
    files = ["--sketches", str(work / "q.npz"), "--photos", str(work / "g.npz")]
    return ["evaluate", *files, "--out", str(work / "out" / "scored")]


def _table(fixtures: Fixtures, work: Path) -> list[str]:
    return ["table", str(fixtures.run), "-o", str(work / "out")]


def _show(fixtures: Fixtures, work: Path) -> list[str]:
    return ["show", str(fixtures.run), "-n", "2", "-o", str(work / "out" / "grid.png")]


_EXPORTED = _files("model/*.safetensors", "model/config.*", "model/README.md")
RESUMED = {
    "fit": Task(_fit, _fit_result, _fit_again, stays=False),
    "prepare": Task(_prepare, _prepared),
    "index": Task(_index, _indexed, _index_again, _copy_photos, stays=False),
    "update": Task(_update, _indexed, before=_copy_index, stays=False),
    "export": Task(_export, _EXPORTED, _export_again),
    "ablate": Task(_ablate, _cells, before=_write_grid, stays=False),
}
"""Commands that may be interrupted at any moment."""

WRITERS = {
    **{name: task for name, task in RESUMED.items() if name != "ablate"},
    "evaluate": Task(_evaluate, _files("scored/*"), whole=False),
    "table": Task(_table, _files("*"), whole=False),
    "show": Task(_show, _files("*.png"), whole=False),
}
"""Commands whose files may not be readable or writable."""
