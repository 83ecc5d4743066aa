"""Seconds of a whole training epoch: the released code's loader and step, and ours, in one run.

    python benchmarks/epoch.py --root DATA                                   # this CPU, small
    python benchmarks/epoch.py --root DATA --device cuda --batch 128 --workers 16

Both read the same classes of DATA, any folder that SketchPhotoFolder reads (without --root, images
are generated), with random weights of the same network. The released loop is written out as in
data_loading.py and training_step.py: its loader, three forwards, the triplet loss, Adam. Ours is
``Trainer.fit`` with the paper's model, classification losses included: from the files, from
prepared images, and on a GPU from prepared images, compiled and in bf16. The first epoch of each
row, in which caches fill and networks are compiled, does not count.

Beside it stand the seconds of the same steps alone, on one batch that is on the device already:
what an epoch takes beyond them is the loop's.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from data_loading import OfficialTriplets, generate
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from training_step import ReleasedModel, ours

from data_modules import SketchPhotoFolder
from data_modules.batch import TrainingBatch
from data_modules.prepared.prepare import prepare
from data_modules.transforms import Fit
from sketchclip.callbacks.speed import Speed
from sketchclip.clip.backbone import load_backbone

SIZE = 224


def wait(device: torch.device) -> None:
    """Let the device end what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Clock(Callback):
    """Notes the seconds of each epoch, and of steps on the last batch after the last epoch."""

    def __init__(self, steps: int) -> None:
        self.epochs: list[float] = []
        self.count, self.step, self._steps = 0, 0.0, steps
        self._start, self._batch = 0.0, None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        wait(pl_module.device)
        self.count, self._start = 0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Count, and keep a batch of full size."""
        self.count += 1
        self._batch = batch if self._batch is None else self._batch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock; at last time the steps alone."""
        wait(pl_module.device)
        self.epochs.append(time.perf_counter() - self._start)
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            return
        (optimizer,) = trainer.optimizers
        start = time.perf_counter()
        for _ in range(self._steps):
            optimizer.zero_grad()
            with trainer.precision_plugin.forward_context():
                loss: Any = pl_module.training_step(self._batch, 0)
            loss.backward()
            optimizer.step()
        wait(pl_module.device)
        self.step = (time.perf_counter() - start) / self._steps


def released(data: SketchPhotoFolder, options: argparse.Namespace) -> Clock:
    """The released loop."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    model = ReleasedModel(load_backbone(options.backbone, "random").visual).to(device)
    optimizer = model.configure_optimizers()
    sketches, photos = data.catalogue.training[0], data.catalogue.training[1]
    loader: DataLoader = DataLoader(
        OfficialTriplets(sketches, photos), batch_size=options.batch, num_workers=options.workers
    )
    clock = Clock(options.steps)
    labels = torch.zeros(options.batch, dtype=torch.long, device=device)

    def step(images: list[Tensor]) -> None:
        optimizer.zero_grad()
        model.training_step(TrainingBatch(*images, labels[: len(images[0])]), 0).backward()
        optimizer.step()

    for _ in range(options.epochs):
        wait(device)
        start = time.perf_counter()
        for *images, _, _ in loader:
            moved = [image.to(device) for image in images]
            step(moved)
        wait(device)
        clock.epochs.append(time.perf_counter() - start)
    clock.count = len(loader)
    start = time.perf_counter()
    for _ in range(options.steps):
        step(moved)
    wait(device)
    clock.step = (time.perf_counter() - start) / options.steps
    return clock


def trained(data: SketchPhotoFolder, options: argparse.Namespace, fast: bool) -> Clock:
    """Our training, as 'sketchclip fit' makes it."""
    torch.manual_seed(0)
    clock = Clock(options.steps)
    trainer = Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if fast else "32-true",
        max_epochs=options.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[clock, Speed(compile="default" if fast else "off")],
    )
    trainer.fit(ours(options.backbone, names=data.class_names), data)
    return clock


def main() -> None:
    """Print a row for each way to train an epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--backbone", default="ViT-B-32-quickgelu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="the first does not count")
    parser.add_argument("--each", type=int, default=64, help="generated sketches of a class")
    parser.add_argument("--steps", type=int, default=10, help="that are timed alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root or generate(Path(scratch) / "data", 8, 500, options.each)

        def data(prepared: bool) -> SketchPhotoFolder:
            return SketchPhotoFolder(
                root=str(root),
                split="random:2:0",
                validation="none",
                batch_size=options.batch,
                num_workers=options.workers,
                prepared=str(Path(scratch) / "prepared") if prepared else None,
            )

        files = data(False)
        sides = files.catalogue.training[:2]
        paths = [path for side in sides for group in side.values() for path in group]
        prepare(paths, root, Path(scratch) / "prepared", Fit(SIZE), options.workers)
        rows = {"released": released(files, options)}
        rows["ours, files"] = trained(data(False), options, fast=False)
        rows["ours, prepared"] = trained(data(True), options, fast=False)
        if options.device == "cuda":
            rows["ours, prepared, compiled, bf16"] = trained(data(True), options, fast=True)
    print(f"{len(paths)} files, {options.device}, batch {options.batch}", file=sys.stderr)
    print("| epoch | seconds | x released | steps | x steps alone |\n|---|---:|---:|---:|---:|")
    first = statistics.median(rows["released"].epochs[1:])
    for name, clock in rows.items():
        seconds = statistics.median(clock.epochs[1:])
        alone = seconds / (clock.count * clock.step)
        print(f"| {name} | {seconds:.2f} | {first / seconds:.2f} | {clock.count} | {alone:.2f} |")


if __name__ == "__main__":
    main()
