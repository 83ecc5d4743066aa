"""What happens to a batch on its way from the loader to the model."""

from typing import Any, Literal

import torch
from lightning.pytorch import Trainer

from data_modules.batch import SIDES, B, TensorBatch
from data_modules.datasets.unreadable import UnreadableFiles
from data_modules.transforms import normalize

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class BatchHooks:
    """Normalises on the device and notes unreadable files; part of the data module."""

    trainer: Trainer | None
    normalization: Literal["model", "imagenet"]
    on_error: Literal["raise", "skip"]
    unreadable: UnreadableFiles

    def method_says(self, name: str, default: Any) -> Any:
        """What the method says of itself; outside a Trainer there is none to ask."""
        model = self.trainer.lightning_module if self.trainer else None
        return getattr(model, name, default)

    def normalize(self, batch: B) -> B:
        """Turn the uint8 images of a batch into what the model expects.

        Loaders give uint8, a quarter of the bytes to move. A Trainer calls this on the device;
        whoever iterates over a loader without one calls it on each batch.

        Args:
            batch: Of any of the loaders.

        Returns:
            The batch with fp32 images, normalised by the mean and standard deviation of the model.
        """
        mean, std = self.method_says("normalization", CLIP)
        if self.normalization == "imagenet":
            mean, std = IMAGENET
        # Nothing else in a batch is uint8.
        return batch.map_tensors(
            lambda tensor: normalize(tensor, mean, std) if tensor.dtype == torch.uint8 else tensor
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Note unreadable files; Lightning calls this in the main process of every rank."""
        skipped = getattr(batch, "skipped", None)
        if skipped:
            training = self.trainer is not None and self.trainer.training
            self.unreadable.add("training" if training else SIDES[int(batch.side[0])], skipped)
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Normalise on the device."""
        return self.normalize(batch) if isinstance(batch, TensorBatch) else batch

    def teardown(self, stage: str) -> None:
        """List the files that were passed over."""
        if self.on_error == "skip":
            self.unreadable.report(self.trainer.log_dir if self.trainer else None)
