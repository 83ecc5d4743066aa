"""A ``sketchclip fit`` command that works on a dataset as it is on disk."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.base import SketchPhotoDataModule
from sketchclip.config import experiment_folders, read_settings
from sketchclip.errors import SketchClipError


@dataclass(frozen=True)
class Command:
    """A command that was tried on the data up to the first batch, or why there is none.

    Attributes:
        text: Command line; empty if nothing works.
        data: The data module with the settings of the command; None if nothing works.
        problem: Reason why the default settings do not work, empty if they do.
    """

    text: str
    data: SketchPhotoDataModule | None
    problem: str = ""


def fit_command(
    listed: SketchPhotoDataModule, split: str | None, patterns: Mapping[str, Any], classes: int
) -> Command:
    """Find the smallest change of a bundled config with which training and test start.

    Args:
        listed: The data module with root and these settings; its listing is reused.
        split: Choice of the user; None for that of the config.
        patterns: ``sketch_files`` and ``photo_files`` if the user named them.
        classes: Number of classes that have both sides.
    """
    dataset, root = type(listed), listed.catalogue.files.named_root
    config, preset = _config(dataset.__name__)
    always: dict[str, Any] = dict(patterns)
    if split is not None:
        always["split"] = split
    problem = ""
    sampled = {"split": f"random:{max(2, classes // 5)}:0"}
    for attempt in ({}, sampled, {**sampled, "validation": "none"}):
        settings = {**always, **attempt}
        try:
            data = listed
            if preset or attempt:
                data = dataset(root=root, num_workers=0, **{**preset, **settings})
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
            words += ["--data", dataset.__name__]
        words += ["--data.root", str(root)]
        for name, value in settings.items():
            words += [f"--data.{name}", str(value)]
        return Command(shlex.join(words), data, problem)
    return Command("", None, problem)


def _config(dataset: str) -> tuple[str, dict[str, Any]]:
    """Find the bundled config of a dataset, and the settings of the data module in it."""
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
    """Read the data settings of a config or of the one it extends."""
    content = read_settings(path)
    if "data" in content or "extends" not in content:
        return content.get("data") or {}
    return _data_of(path.parent / content["extends"])
