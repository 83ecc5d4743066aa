"""Printed description of a training run before it starts, while it runs and after it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from data_modules.batch import ImageBatch, TrainingBatch
from data_modules.splits.catalogue import Catalogue
from sketchclip.callbacks.best import BestCheckpoint
from sketchclip.checkpoint import count_parameters
from sketchclip.errors import SketchClipError, printable
from sketchclip.loggers import WandbRun
from sketchclip.runs.environment import device_name
from sketchclip.runs.folder import CHECKPOINTS, LAST


class TrainingReport(Callback):
    """Prints one block before training, a line after each epoch, and one block at the end."""

    def __init__(self) -> None:
        self.started = self.epoch_started = 0.0
        self._loss: list[Any] = []
        self.first_step: int | None = None
        """Steps before this training, of the run that it goes on with; None before it starts."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what trains, on what, and how it is measured."""
        folder = trainer.log_dir  # a collective call: every process must make it
        self.started = self.epoch_started = time.monotonic()
        self.first_step = trainer.global_step
        trained, total = count_parameters(pl_module)
        data = trainer.datamodule  # type: ignore[attr-defined]
        files: Catalogue = data.catalogue
        semantics = getattr(pl_module, "semantics", None)
        rows = {
            "method": f"{type(pl_module).__name__}, {trained:,} of {total:,} parameters train",
            "data": f"{type(data).__name__}, split {files.split.name}: {len(files.class_names)} "
            f"training, {len(files.val_classes)} validation ({files.settings.validation}), "
            f"{len(files.split.unseen)} unseen classes",
            "training": _sizes(*files.training) + _listed(subsets(files)),
            "validation": _evaluated(files, files.val_classes),
            "test": _evaluated(files, files.test_classes),
            **({} if semantics is None else {"vectors": semantics.source}),
            "protocol": files.protocol_name,
            "compute": f"{trainer.world_size} x {trainer.strategy.root_device} "
            f"({device_name(trainer)}), precision {trainer.precision}",
            "run folder": (folder if trainer.loggers else None) or "none (no logger)",
        }
        _print(trainer, rows)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self.epoch_started, self._loss = time.monotonic(), []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the loss to that of the epoch, where it is: a GPU is not waited for."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if isinstance(loss, Tensor) and isinstance(batch, TrainingBatch | ImageBatch):
            size = len(batch.label)
            # Lightning has divided it by the number of batches whose gradients add up.
            weighted = loss.detach() * trainer.accumulate_grad_batches * size
            before = self._loss or [0.0, 0]
            self._loss = [before[0] + weighted, before[1] + size]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's mean loss and headline metric, above the progress bar if any."""
        if not trainer.is_global_zero:
            return
        names = {"loss": "loss", f"val/{pl_module.headline}": "validation {}"}
        values = dict(trainer.callback_metrics)
        if self._loss:
            values["loss"] = self._loss[0] / self._loss[1]
        parts = [
            f"{shown.format(name.removeprefix('val/'))} {float(values[name]):.4f}"
            for name, shown in names.items()
            if name in values
        ]
        seconds = time.monotonic() - self.epoch_started
        when = f"epoch {trainer.current_epoch + 1}"
        if (trainer.max_epochs or -1) > 0:
            when += f"/{trainer.max_epochs}"
        elif trainer.max_steps > 0:
            when += f", step {trainer.global_step}/{trainer.max_steps}"
        line, bar = f"{when}  {'  '.join(parts)}  {seconds:.0f} s", trainer.progress_bar_callback
        if bar is None:
            print(line, flush=True)  # of a log that somebody watches
        else:
            bar.print(line)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print where everything was written and what to type next.

        Raises:
            SketchClipError: If the training was over before its first batch.
        """
        if self.first_step is None:
            raise SketchClipError(
                "Nothing was trained: a limit was reached before the first batch (trainer.max_time,"
                " an early stop of the checkpoint, or no batch in an epoch). No run was written."
            )
        log_dir = trainer.log_dir
        count = trainer.global_step - self.first_step
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            told = f"{_steps(count)} tried (trainer.fast_dev_run), without run folder or checkpoint"
            _print(trainer, {"trained": told})
        if not trainer.loggers or log_dir is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(log_dir)
        seconds = time.monotonic() - self.started
        rows = {"trained": f"{_steps(count)}, {seconds:.0f} s"}
        if self.first_step:
            rows["trained"] += f"; {_steps(trainer.global_step)} with those of the checkpoint"
        rows["run folder"] = f"{folder}: config.yaml, environment.json"
        if any(isinstance(logger, CSVLogger) for logger in trainer.loggers):
            rows["run folder"] += ", metrics.csv"
        for callback in trainer.checkpoint_callbacks:
            path, score = callback.best_model_path, callback.best_model_score  # type: ignore[attr-defined]
            if path and Path(path).is_file():
                best = isinstance(callback, BestCheckpoint) and score is not None
                score_text = f" ({callback.monitor} {float(score):.4f})" if best else ""  # type: ignore[attr-defined]
                rows["best" if best else "checkpoint"] = f"{path}{score_text}"
        for early in trainer.early_stopping_callbacks:
            if isinstance(early, EarlyStopping) and early.stopped_epoch:
                rows["stopped"] = f"after epoch {early.stopped_epoch + 1}: {early.monitor} "
                rows["stopped"] += f"was no better than {float(early.best_score):.4f} "
                rows["stopped"] += f"{early.patience} times in a row (early stopping)"
        if (folder / "grids").is_dir():
            rows["pictures"] = str(folder / "grids")
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun) and (address := logger.url or logger.sync_command):
                rows["W&B"] = address
        if (folder / CHECKPOINTS / f"{LAST}.ckpt").is_file():
            rows["test it"] = f"sketchclip test --ckpt_path {folder}"
        _print(trainer, rows)


def _steps(count: int) -> str:
    return f"{count:,} step{'s' * (count != 1)}"


def subsets(files: Catalogue) -> dict[str, Any]:
    """List the settings that take a part of the data, where they differ from the default."""
    defaults: dict[str, Any] = {"train_fraction": 1.0, "seen_classes": None, "generalized": 0.0}
    defaults |= {"generalized_queries": "unseen"}
    chosen = vars(files.settings)
    used = {name: chosen[name] for name, usual in defaults.items() if chosen[name] != usual}
    return used | {"subset_seed": chosen["subset_seed"]} if used else {}


def _print(trainer: Trainer, rows: Mapping[str, Any]) -> None:
    if trainer.is_global_zero:
        print(
            "\n".join(f"{key:>10}  {printable(value)}" for key, value in rows.items()), flush=True
        )


def _evaluated(files: Catalogue, classes: list[str]) -> str:
    if not classes:
        return "none"
    return _sizes(files.queries(classes), files.gallery(classes))


def _sizes(sketches: Mapping[str, Sequence[Path]], photos: Mapping[str, Sequence[Path]]) -> str:
    counts = [sum(map(len, listing.values())) for listing in (sketches, photos)]
    return f"{counts[0]:,} sketches, {counts[1]:,} photos"


def _listed(settings: dict[str, Any]) -> str:
    return f" ({', '.join(f'{n}={v}' for n, v in settings.items())})" if settings else ""
