"""Options that messages recommend: those that the command at hand has."""

import os
import re
from pathlib import Path

from sketchclip.errors import MissingWeightsError, SketchClipError

_TRAINER = ("fit", "validate", "test", "predict")
_PLACE = {
    **dict.fromkeys(_TRAINER, "--trainer.logger.save_dir"),
    **{"index": "-o", "data": "--out or --json", "evaluate": "--out", "ablate": "--output"},
    **{"quickstart": "--output", "plot": "-o", "show": "-o", "export": "--to", "table": "-o"},
    "search": "--save",
}
_SMALLER = {
    "fit": "--data.batch_size and --data.eval_batch_size",
    **dict.fromkeys(("validate", "test", "predict"), "--data.eval_batch_size"),
    "ablate": "-- --data.batch_size and --data.eval_batch_size",
}
_PROCESSES = {
    **dict.fromkeys(_TRAINER, "--data.num_workers 0"),
    **{"data": "--workers 1", "index": "--readers 1", "ablate": "--jobs 1"},
}


def spelled(error: SketchClipError, command: str) -> str:
    """A message with the options as this command has them."""
    if isinstance(error, MissingWeightsError):
        if command in ("index", "export"):
            small = "take the small CLIP inside the package with --backbone=sketchclip-mini"
            return error.advice("--pretrained", small)
        if command in ("search", "demo"):
            return (
                f"{error.what}. Repeat the command once with a network (what it loads is kept), or "
                "name with --index an index of another model, such as one of 'sketchclip index "
                "--backbone sketchclip-mini'."
            )
    text = str(error)
    if command in ("index", "export"):  # their options of a model have no prefix
        text = re.sub(r"--model\.(backbone|pretrained)\b", r"--\1", text)
    return text


def place(command: str, path: str = "") -> str:
    """How to write elsewhere."""
    inside = [name for name, folder in _caches() if path and _is_in(path, folder)]
    if inside:
        return f"name another folder with the environment variable {inside[0]}"
    option = _PLACE.get(command)
    return f"name another place with {option}" if option else "write elsewhere"


def smaller(command: str) -> str:
    """How to compute with less memory; empty where nothing can be chosen."""
    named = _SMALLER.get(command)
    return f"smaller batches: {named}" if named else ""


def fewer_processes(command: str) -> str:
    """How to read with fewer processes; empty where nothing can be chosen."""
    named = _PROCESSES.get(command)
    return f"fewer processes: {named}" if named else ""


def on_cpu(command: str) -> str:
    """How to compute without a GPU."""
    if command in _TRAINER:
        return "--trainer.accelerator cpu"
    return "--device cpu" if command in ("index", "search", "demo") else "another device"


def _caches() -> list[tuple[str, Path]]:
    home, given = Path("~/.cache").expanduser(), os.environ.get
    shared = Path(given("XDG_CACHE_HOME") or home)
    return [
        ("SKETCHCLIP_CACHE", Path(given("SKETCHCLIP_CACHE") or shared / "sketchclip").expanduser()),
        ("HF_HOME", Path(given("HF_HOME") or shared / "huggingface").expanduser()),
    ]


def _is_in(path: str, folder: Path) -> bool:
    return Path(path).absolute().is_relative_to(folder.absolute())
