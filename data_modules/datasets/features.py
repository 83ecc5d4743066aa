"""Features of a frozen encoder in place of images, kept on disk for the next run."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from data_modules.batch import Preprocessing
from data_modules.cache import cache_folder
from data_modules.datasets.image_source import ImageSource
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


def stored_features(
    paths: list[Path],
    encoder: str,
    preprocessing: Preprocessing,
    listing_hash: str,
    compute: Callable[[], np.ndarray],
) -> dict[Path, np.ndarray]:
    """Features of files from the cache folder, computed and kept there if they are not.

    Of several processes one computes, the others wait for it. A damaged file is made again.

    Args:
        paths: Files.
        encoder: Identity of the encoder, with all that changes its numbers.
        preprocessing: Steps from a file to its input.
        listing_hash: Hash of the files.
        compute: Gives the rows of ``paths``, fp32, (N, D); NaN for a file that cannot be read.

    Returns:
        Features by path, (D,), without those that cannot be read.
    """
    key = {"encoder": encoder, "preprocessing": asdict(preprocessing), "listing": listing_hash}
    name = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    file = cache_folder() / "features" / f"{name}.npy"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            rows = _read(file, len(paths))
            if rows is None:
                rows = compute()
                _write(file, rows, key)
    except OSError:  # a cache that cannot be written is none
        rows = compute()
    known = ~np.isnan(rows[:, 0])
    # Copies: an array over the map would be read from disk again and again.
    return {path: np.array(row) for path, row, ok in zip(paths, rows, known, strict=True) if ok}


def _read(file: Path, length: int) -> np.ndarray | None:
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == length
    return rows if whole else None


def _write(file: Path, rows: np.ndarray, key: Mapping[str, Any]) -> None:
    partial = file.with_suffix(f".{os.getpid()}.tmp")
    with partial.open("wb") as target:
        np.save(target, rows)
    file.with_suffix(".json").write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, file)
