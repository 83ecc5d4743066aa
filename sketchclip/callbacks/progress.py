"""Progress bars in a terminal."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm, convert_inf

from data_modules.batch import SIDES

_EVERY = 0.5  # seconds
_UNSEEN = 1e-6  # seconds: any delay but 0 leaves out what a bar draws when it is made


class EpochProgress(TQDMProgressBar):
    """One bar for the epoch or for the side that is embedded; it vanishes when that is done.

    It is drawn twice a second at most: a loss that is shown after each step has a GPU wait after
    each step. Bars go to the standard error, so that a redirected output holds results alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._drawn = 0.0

    def init_train_tqdm(self) -> Tqdm:
        """Bar that stands alone: of an epoch, a test, a prediction."""
        return self._bar(0)

    init_sanity_tqdm = init_test_tqdm = init_predict_tqdm = init_train_tqdm

    def init_validation_tqdm(self) -> Tqdm:
        """Bar of a validation, in training below that of the epoch."""
        return self._bar(int(self.trainer.state.fn == "fit"))

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Begin the bar again, and name the epoch as people count: from 1."""
        whole = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        name = f"epoch {trainer.current_epoch + 1}{whole}"
        _begin(self.train_progress_bar, name, self.total_train_batches)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Name the side."""
        if self.has_dataloader_changed(dataloader_idx):
            what = "check" if trainer.sanity_checking else "validation"
            total = self.total_val_batches_current_dataloader
            _begin(self.val_progress_bar, _name(what, dataloader_idx), total)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Name the side."""
        if self.has_dataloader_changed(dataloader_idx):
            total = self.total_test_batches_current_dataloader
            _begin(self.test_progress_bar, _name("test", dataloader_idx), total)

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Name the side."""
        if self.has_dataloader_changed(dataloader_idx):
            total = self.total_predict_batches_current_dataloader
            _begin(self.predict_progress_bar, _name("predict", dataloader_idx), total)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Loss alone: TrainingReport prints the rest after each epoch."""
        shown = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name == "loss"}

    def _should_update(self, current: int, total: int) -> bool:
        now = time.monotonic()
        if current != total and now - self._drawn < _EVERY:
            return False
        self._drawn = now
        return super()._should_update(current, total)

    def _bar(self, position: int) -> Tqdm:
        return Tqdm(
            delay=_UNSEEN,  # until _begin has given it a name and a length
            position=position,
            disable=self.is_disabled,
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format=self.BAR_FORMAT,
        )


def _begin(bar: Tqdm, name: str, total: float | Sequence[float]) -> None:
    bar.delay = 0
    bar.reset(convert_inf(total))  # type: ignore[arg-type]
    bar.set_description(name)


def _name(what: str, side: int) -> str:
    return f"{what}, {SIDES[side]}{'es' if SIDES[side] == 'sketch' else 's'}"
