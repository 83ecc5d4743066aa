"""Features of a frozen encoder in place of images, kept on disk for the next run."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock
from lightning.pytorch import Trainer
from torch import Tensor

from data_modules.batch import SIDES
from data_modules.cache import cache_folder
from data_modules.datasets.image_source import ImageSource
from data_modules.listing.listing_hash import listing_hash
from data_modules.progress import Progress
from data_modules.transforms import Side


class FeatureSource(ImageSource):
    """Gives the features of a file where another source gives its pixels.

    Args:
        features: Path to fp32 features, (D,); a file without any is passed over.
        seed: Seed of the samples of a dataset.
    """

    gives_features = True

    def __init__(self, features: Mapping[Path, np.ndarray], seed: int) -> None:
        super().__init__(features.__getitem__, seed)
        self.features = features

    def read(self, path: Path, skipped: list[str]) -> np.ndarray | None:
        """Features of a file; None for one that could not be read when they were computed."""
        return self.features.get(path)

    def tensor(
        self,
        image: np.ndarray,
        side: Side,
        key: tuple[int, int],
        role: int,
        geometry: int | None = None,
    ) -> Tensor:
        """Convert, without augmentation: (D,), fp32."""
        return torch.from_numpy(image)


def training_features(
    data: Any, trainer: Trainer, embed: Callable[[Tensor, Side], Tensor]
) -> dict[Path, np.ndarray]:
    """Features of all training images, from the cache folder or computed and kept there.

    Of several processes one computes, the others wait for it. A damaged file is made again, and
    nothing is kept while an image cannot be read: the next run may not pass over it.

    Returns:
        Path to features, (D,), fp32, without the files that cannot be read.
    """
    sides, root = data.catalogue.training, data.catalogue.files.root
    paths = [path for side in sides for files in side.values() for path in files]
    device = trainer.strategy.root_device
    key = {
        "encoder": f"{data.batch_spec.features} on {device.type}, {trainer.precision}",
        "preprocessing": asdict(data.preprocessing),
        "batch_size": data.hparams["eval_batch_size"],  # rounding depends on it
        "listing": [listing_hash(side, root)["listing_hash"] for side in sides],
    }

    def compute() -> np.ndarray:
        shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
        parts: list[np.ndarray] = []
        with Progress(len(paths), "Features of the training images", shown) as bar:
            for images, side in zip(sides, SIDES, strict=True):
                for batch in data.training_images(images, side):
                    pixels = data.normalize(batch.to(device)).image
                    with torch.no_grad(), trainer.precision_plugin.forward_context():
                        rows = embed(pixels, side).float().cpu().numpy()
                    rows[batch.index.numpy() < 0] = np.nan  # it could not be read
                    parts.append(rows)
                    bar.reach(bar.done + len(rows))
        return np.concatenate(parts)

    rows = _stored(key, len(paths), compute)
    known = zip(paths, rows, ~np.isnan(rows[:, 0]), strict=True)
    features = {path: row for path, row, is_known in known if is_known}
    data.unreadable.add("training", [str(path) for path in paths if path not in features])
    return features


def _stored(key: dict[str, Any], length: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Rows of a key from the cache folder; computed where they are not there."""
    name = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    file = cache_folder() / "features" / f"{name}.npz"
    with ExitStack() as stack:
        # A cache that cannot be written is none.
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(file.with_suffix(".lock")))
        rows = _read(file, length)
        if rows is None:
            rows = compute()
            if not np.isnan(rows).any():
                with suppress(OSError):
                    _write(file, rows, key)
        return rows


def _read(file: Path, length: int) -> np.ndarray | None:
    """Rows of a file, whose zip format holds a checksum of them; None for one that is damaged."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            rows: np.ndarray = saved["rows"]
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile):
        return None
    whole = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == length
    return rows if whole else None


def _write(file: Path, rows: np.ndarray, key: Mapping[str, Any]) -> None:
    partial = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with partial.open("wb") as target:
            np.savez(target, rows=rows)
        file.with_suffix(".json").write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
