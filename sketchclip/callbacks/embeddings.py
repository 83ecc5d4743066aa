"""Embeddings of ``sketchclip predict``, as files that any other program reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from data_modules.batch import SIDES


class EmbeddingWriter(BasePredictionWriter):
    """Writes ``embeddings/<side>.npz`` (state, label, index, path, class_names) into the run.

    With several processes each writes its share as ``<side>.rank<r>.npz``; ``index`` identifies the
    padding duplicates.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write both sides from the outputs of ``predict_step`` of each loader."""
        folder = Path(trainer.log_dir or ".") / "embeddings"
        folder.mkdir(parents=True, exist_ok=True)
        suffix = f".rank{trainer.global_rank}" if trainer.world_size > 1 else ""
        loaders = trainer.predict_dataloaders or []
        for side, batches, loader in zip(SIDES, predictions, loaders, strict=True):
            tensors = {
                key: torch.cat([batch[key] for batch in batches]).cpu()
                for key in ("state", "label", "index")
            }
            tensors["state"] = tensors["state"].float()  # NumPy has no bfloat16
            # Rows of images that data.on_error=skip passed over are no embeddings.
            read = tensors["index"] >= 0
            arrays: dict[str, Any] = {key: rows[read].numpy() for key, rows in tensors.items()}
            arrays["path"] = np.array([str(loader.dataset.items[i][0]) for i in arrays["index"]])
            arrays["class_names"] = np.array(loader.dataset.classes)
            np.savez(folder / f"{side}{suffix}.npz", **arrays)
        if trainer.is_global_zero:
            print(f"Embeddings: {folder}")
