"""Environment of a run, kept beside its results: versions, machine, command, commit, data."""

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from data_modules.listing.listing_hash import listing_hash
from sketchclip import __version__
from sketchclip.runs.revision import commit

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from data_modules.splits.catalogue import Catalogue

PACKAGES = (
    "torch torchvision lightning open_clip_torch torchmetrics jsonargparse albumentations numpy "
    "pillow safetensors wandb"
).split()
METRIC_PACKAGES = ("torch", "lightning", "open_clip_torch", "torchmetrics", "numpy")
"""Packages that the value of a metric may depend on."""


def environment(trainer: "Trainer", command: str, stage: str) -> dict[str, Any]:
    """Describe the environment of a run, as ``environment.json`` holds it."""
    return {
        "command": command,
        "stage": stage,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device_name(trainer),
        "processes": trainer.world_size,
        "nodes": trainer.num_nodes,
        "precision": trainer.precision,
        "seed": int(os.environ.get("PL_GLOBAL_SEED", 0)),
        "versions": versions(),
        "data": used_data(trainer.datamodule.catalogue, stage),  # type: ignore[attr-defined]
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """List the versions of sketchclip and of those packages that are installed."""
    found = {"sketchclip": __version__}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def device_name(trainer: "Trainer") -> str:
    """Name the device of this process: its model, and for a CPU its cores."""
    import torch

    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} used"
    return device.type


def used_data(files: "Catalogue", stage: str) -> dict[str, Any]:
    """Count and hash the files that a stage (fit, validate, test or predict) uses."""
    listings = {}
    if stage == "fit":
        listings["training sketches"], listings["training photos"] = files.training
    evaluated = {"validation": files.val_classes} if stage in ("fit", "validate") else {}
    if stage in ("test", "predict"):
        evaluated = {"test": files.test_classes}
    for part, classes in evaluated.items():
        if classes or part == "test":
            listings[f"{part} sketches"] = files.queries(classes)
            listings[f"{part} photos"] = files.gallery(classes)
    root = files.files.root
    return {
        "dataset": type(files.dataset).__name__,
        "split": files.split.name,
        **{name: listing_hash(listing, root) for name, listing in listings.items()},
    }
