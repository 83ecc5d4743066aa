"""Training on features that were computed once in place of the images."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from data_modules.batch import SIDES
from data_modules.datasets.hooks import BatchHooks
from data_modules.datasets.image_source import ImageSource
from data_modules.datasets.image_table import ImageTable
from data_modules.listing.scan import Listing
from data_modules.splits.catalogue import Catalogue
from data_modules.transforms import Augmented, Side


class FeatureSource(ImageSource):
    """Gives the features of a file where another source gives its pixels.

    Args:
        features: Path to fp32 features, (D,); a file without any is passed over.
        seed: Of the draws of a dataset.
    """

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


class CachesFeatures(Catalogue, BatchHooks):
    """Computes the features of all training images; part of the data module."""

    augment: Augmented
    eval_batch_size: int
    num_workers: int
    features: dict[Path, np.ndarray] | None = None
    """Path to features, (D,), fp32; None while training works on images."""

    def setup(self, stage: str) -> None:
        """Forget the features of an earlier run: another method may need the images."""
        super().setup(stage)  # type: ignore[misc]
        self.features = None

    def cache_features(self, embed: Callable[[Tensor], Tensor]) -> None:
        """Compute the features that train_dataloader then gives in place of images.

        Nothing happens where images are augmented: they are never the same twice.

        Args:
            embed: Features (B, D) of normalised images on the device of the method.
        """
        if self.augment != "none" or self.trainer is None:
            return
        device, precision = self.trainer.strategy.root_device, self.trainer.precision_plugin
        shown = self.trainer.is_global_zero and self.trainer.progress_bar_callback is not None
        features: dict[Path, np.ndarray] = {}
        for images, side in zip((self.train_sketches(), self.train_photos()), SIDES, strict=True):
            loader, table = self._single_images(images, side)
            title = f"Features of the training {side}{'es' if side == 'sketch' else 's'}"
            for batch in track(loader, title) if shown else loader:
                self.unreadable.add("training", batch.skipped)
                with torch.no_grad(), precision.forward_context():
                    rows = embed(self.normalize(batch.to(device)).image).float().cpu().numpy()
                for row, at in zip(rows, batch.index.tolist(), strict=True):
                    if at >= 0:  # it could be read
                        features[table.path(at)] = row
        self.features = features

    def _single_images(self, images: Listing, side: Side) -> tuple[DataLoader, ImageTable]:
        """Loader of the images of one side in their order, and their paths."""
        raise NotImplementedError
