"""The ``sketchclip fit`` command that works on a dataset as it lies on disk."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_modules.base import SketchPhotoDataModule
from sketchclip.config import experiment_folders
from sketchclip.errors import SketchClipError


@dataclass(frozen=True)
class Command:
    """A command that was tried on the data up to the first batch, or why there is none.

    Attributes:
        text: To type; empty if nothing works.
        data: The data module with the settings of the command; None if nothing works.
        problem: Why the dataset's own settings do not work, empty if they do.
    """

    text: str
    data: SketchPhotoDataModule | None
    problem: str = ""


def fit_command(
    own: SketchPhotoDataModule,
    split: str | None,
    patterns: Mapping[str, Any],
    classes: int,
) -> Command:
    """Find the smallest change of a shipped config with which training and test would start.

    Args:
        own: The data module with root and these settings; what it has listed is not listed again.
        split: The user's choice; None for the config's.
        patterns: ``sketch_files`` and ``photo_files`` if the user named them.
        classes: Number of classes that have both sides.

    Returns:
        The command.
    """
    config, preset = _config(type(own).__name__)
    always: dict[str, Any] = dict(patterns)
    if split is not None:
        always["split"] = split
    problem = ""
    drawn = f"random:{max(2, classes // 5)}:0"
    attempts: tuple[dict[str, Any], ...] = (
        {},
        {"split": drawn},
        {"split": drawn, "validation": "none"},
    )
    for attempt in attempts:
        settings = {**always, **attempt}
        try:
            data = own
            if preset or attempt:
                root = own.catalogue.files.named_root
                data = type(own)(root=root, num_workers=0, **{**preset, **settings})
            files = data.catalogue
            files.training  # noqa: B018
            for names in (files.test_classes, files.val_classes):
                files.queries(names)
                files.gallery(names)
        except SketchClipError as error:
            problem = problem or str(error)
            continue
        words = ["sketchclip", "fit", "--config", config]
        if config == "experiments/base.yaml":
            words += ["--data", type(own).__name__]
        words += ["--data.root", str(own.catalogue.files.named_root)]
        for name, value in settings.items():
            words += [f"--data.{name}", str(value)]
        return Command(shlex.join(words), data, problem)
    return Command("", None, problem)


def _config(dataset: str) -> tuple[str, dict[str, Any]]:
    """Shipped config of a dataset, and the settings of the data module in it."""
    found = {}
    for folder in experiment_folders():
        for path in sorted(folder.glob("*.yaml")):
            data = _data_of(path)
            if str(data.get("class_path", "")).rpartition(".")[2] == dataset:
                found[path.stem] = (f"experiments/{path.name}", data.get("init_args") or {})
    if not found:
        return "experiments/base.yaml", {}
    # The one named like the dataset, else the first that is no base of others.
    names = [dataset.lower(), *(name for name in found if name != "base"), "base"]
    return found[next(name for name in names if name in found)]


def _data_of(path: Path) -> dict[str, Any]:
    """Settings of the data in a config or in the one it builds on."""
    content = yaml.safe_load(path.read_text("utf-8"))
    if "data" in content or "extends" not in content:
        return content.get("data") or {}
    return _data_of(path.parent / content["extends"])
