"""The resolved configuration, kept in the run's own folder."""

from pathlib import Path

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` beside the run's metrics and never stops a run over an older file.

    Lightning's own callback refuses to start when the folder of the logger already holds a config,
    which a second W&B run in the same folder always does.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write once a run, from the main process."""
        folder = trainer.log_dir  # a collective call: every process must make it
        if self.already_saved or trainer.logger is None or folder is None:
            return
        self.already_saved = True
        if not trainer.is_global_zero:
            return
        target, number = Path(folder) / "config.yaml", 1
        while target.exists():
            number += 1
            target = Path(folder) / f"config-{number}.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        dump = self.parser.dump(self.config, skip_none=False)
        target.write_text(dump, encoding="utf-8")
        if not isinstance(trainer.logger, CSVLogger):
            trainer.logger.log_hyperparams({"config": yaml.safe_load(dump)})
