"""Environment of a run, kept beside its results: versions, machine, command, commit, data."""

import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from data_modules.listing.listing_hash import listing_hash
from sketchclip import __version__
from sketchclip.runs.revision import commit

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from data_modules.splits.catalogue import Catalogue

_PACKAGES = (
    "torch torchvision lightning open_clip_torch torchmetrics jsonargparse albumentations numpy "
    "pillow safetensors wandb"
).split()


def environment(trainer: "Trainer", command: str, stage: str) -> dict[str, Any]:
    """Describe where a run takes place.

    Args:
        trainer: With its data module set up.
        command: As typed.
        stage: fit, validate, test or predict.

    Returns:
        What ``environment.json`` holds.
    """
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
        "versions": {"sketchclip": __version__} | _versions(),
        "data": used_data(trainer.datamodule.catalogue, stage),  # type: ignore[attr-defined]
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_name(trainer: "Trainer") -> str:
    """The device of this process in words: its model, and for a CPU its cores."""
    import torch

    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} used"
    return device.type


def used_data(files: "Catalogue", stage: str) -> dict[str, Any]:
    """Counts and hashes of the files that a stage uses.

    Args:
        files: Files of the run.
        stage: fit, validate, test or predict.

    Returns:
        Dataset, split and, for each listing, classes, files and hash.
    """
    listings = {}
    if stage == "fit":
        listings["training sketches"] = files.training[0]
        listings["training photos"] = files.training[1]
    if stage in ("fit", "validate") and files.val_classes:
        listings["validation sketches"] = files.queries(files.val_classes)
        listings["validation photos"] = files.gallery(files.val_classes)
    if stage in ("test", "predict"):
        listings["test sketches"] = files.queries(files.test_classes)
        listings["test photos"] = files.gallery(files.test_classes)
    root = files.files.root
    return {
        "dataset": type(files.dataset).__name__,
        "split": files.split.name,
        **{name: listing_hash(listing, root) for name, listing in listings.items()},
    }
