"""Resolved configuration and environment, written into the run folder."""

import json
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

from sketchclip.loggers import RunFiles, WandbRun
from sketchclip.runs.environment import environment
from sketchclip.runs.folder import CONFIG, ENVIRONMENT, goes_on_in_place, link_last


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` and ``environment.json`` beside the run's metrics.

    Lightning's callback refuses to start when the folder of the logger already holds a config,
    which a second W&B run in the same folder always does.

    Args:
        *args: Arguments of SaveConfigCallback.
        command: Command line as typed, for ``environment.json``.
        **kwargs: Further arguments of SaveConfigCallback.
    """

    def __init__(self, *args: Any, command: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.command = command

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait until nothing more can stop the command, see :meth:`on_train_start`."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write once a command, from the main process, before its first batch."""
        if trainer.sanity_checking:
            return
        log_dir = trainer.log_dir  # a collective call: every process must make it
        if self.already_saved or trainer.logger is None or log_dir is None:
            return
        self.already_saved = True
        if not trainer.is_global_zero:
            return
        folder = Path(log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for logger in trainer.loggers:
            if isinstance(logger, RunFiles) and goes_on_in_place(trainer.ckpt_path, folder):
                logger.keep_steps(trainer.global_step)
        dump = self.parser.dump(self.config, skip_none=False)
        _free(folder / CONFIG).write_text(dump, encoding="utf-8")
        stage: Any = trainer.state.fn
        where = environment(trainer, self.command, stage.value)
        text = json.dumps(where, indent=2) + "\n"
        _free(folder / ENVIRONMENT).write_text(text, encoding="utf-8")
        link_last(folder)
        config = yaml.safe_load(dump)
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun):
                name = f"val/{pl_module.headline}"
                logger.describe({**config, "environment": where}, name)
            elif not isinstance(logger, CSVLogger):
                logger.log_hyperparams({"config": config})

    on_validation_epoch_start = on_test_epoch_start = on_predict_epoch_start = on_train_start


def _free(path: Path) -> Path:
    """Add a number to a path where another run in the folder has written it."""
    target, number = path, 1
    while target.exists():
        number += 1
        target = path.with_stem(f"{path.stem}-{number}")
    return target
