"""A method that keeps its batches, and data modules as a Trainer leaves them; for tests."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from data_modules import SketchPhotoFolder
from data_modules.batch import BatchSpec
from sketchclip.methods import RetrievalModule

PLAIN = {"split": "random:2:0", "validation": "none", "num_workers": 0, "batch_size": 4}


class Recorder(RetrievalModule):
    """The smallest method; it keeps what its batches held."""

    image_size = 32
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen: list[tuple[Any, ...]] = []

    def embed(self, images, side):
        return self.layer(images.mean((2, 3)))

    def training_step(self, batch, batch_idx):
        sums = batch.sketch.double().sum((1, 2, 3))
        self.seen.append((self.current_epoch, tuple(sums.tolist()), tuple(batch.label.tolist())))
        return self.embed(batch.photo, "photo").square().mean()


class ClassRecorder(Recorder):
    training_batch = BatchSpec(layout="classes")


def asked(root: Path, world: int = 1, rank: int = 0, options: dict | None = None, **spec: Any):
    """A data module as a Trainer with a method that asks for such batches leaves it."""
    data = SketchPhotoFolder(root=str(root), **{**PLAIN, **(options or {})})
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(
        world_size=world, global_rank=rank, strategy=strategy, overfit_batches=0,
        lightning_module=SimpleNamespace(batch_spec=BatchSpec(image_size=32, **spec)),
    )  # fmt: skip
    return data


def fit(data: SketchPhotoFolder, folder: Path, model: Recorder, **options: Any) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(model, datamodule=data, ckpt_path=options.get("ckpt_path"))
    return trainer
