"""Loggers: the files of a run, and Weights & Biases beside them, never in place of them."""

import contextlib
import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from sketchclip.errors import SketchClipError, first_line
from sketchclip.runs.folder import CONFIG, RunFolder, discard_without_results
from sketchclip.runs.reading import STEPS
from sketchclip.system.network import problem_of

STEP = "trainer/global_step"


def is_main() -> bool:
    """Whether this process is the only one, or the first of several."""
    return not getattr(rank_zero_only, "rank", 0)


class RunFiles(CSVLogger):
    """Writes ``metrics.csv`` into ``<save_dir>/<name>/version_<n>``.

    Lightning's own logger looks for the next free number and makes the folder later, so that two
    runs which start at the same instant share one. Here it is made when its number is chosen, and
    that is when its path is first asked for.

    Args:
        save_dir: Where run folders are.
        name: Experiment: the folder in save_dir.
        version: Folder of the run; null for the next free number.
        kind: Name of numbered folders: version, or what an evaluation is called.
    """

    def __init__(
        self,
        save_dir: str = "runs",
        name: str = "experiment",
        version: int | str | None = None,
        kind: str = "version",
    ) -> None:
        super().__init__(save_dir, name, version)
        self.kind = kind
        self._before = ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Writer of metrics.csv, made at first use; Lightning's removes an earlier file."""
        file = Path(self.log_dir) / STEPS
        if self._experiment is None and file.is_file():
            self._before = file.read_text("utf-8")
        return super().experiment

    @rank_zero_only
    def keep_steps(self, step: int) -> None:
        """Keep what an earlier part of the run wrote, for a training that goes on in its folder.

        Args:
            step: First step of this part; later rows are of batches that are trained again.
        """
        reader = csv.DictReader(io.StringIO(self._before))
        rows = [
            row for row in reader if (row.get("step") or "").isdecimal() and int(row["step"]) < step
        ]
        writer = self.experiment
        if not rows or writer.metrics_keys:
            return
        writer.metrics_keys = [*(reader.fieldnames or ())]
        with open(writer.metrics_file_path, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, writer.metrics_keys)
            table.writeheader()
            table.writerows(rows)

    def discard_empty(self, failed: bool) -> None:
        """Remove the folder, and those above it up to save_dir, where nothing was written.

        Args:
            failed: Whether the run has failed or was stopped: then a folder goes that holds no
                result, even if it says what the run was to do.
        """
        if self._version is not None and is_main():
            with contextlib.suppress(OSError):  # not empty: it holds the run
                if failed:
                    discard_without_results(Path(self.log_dir))
                else:
                    os.rmdir(self.log_dir)
                for folder in (self.root_dir, self.save_dir):
                    os.rmdir(folder)

    @property
    def version(self) -> int | str:
        """Number or name of the folder."""
        if self._version is None:
            # The folder is that of the main process, which tells the others.
            folder = RunFolder(Path(self.root_dir), self.kind)
            name = folder.make().name if is_main() else f"{self.kind}_0"
            number = name.removeprefix("version_")
            self._version = int(number) if number.isdecimal() else name
        return self._version


class WandbRun(WandbLogger):
    """Logs to W&B; config, metrics and checkpoints stay in the run folder as without it.

    Short form: ``--trainer.logger=wandb``. Without a server: ``WANDB_MODE=offline``, then ``wandb
    sync``; ``WANDB_MODE=disabled`` for none.

    Args:
        save_dir: Where run folders are.
        name: Experiment: the folder in save_dir.
        version: Folder of the run; null for the next free number.
        kind: Name of numbered folders: version, or what an evaluation is called.
        project: W&B project.
        entity: W&B user or team; null for the account's default.
        group: W&B group of runs.
        tags: W&B tags.
        log_model: Upload the checkpoints and the config as an artifact after training.
    """

    def __init__(
        self,
        save_dir: str = "runs",
        name: str = "experiment",
        version: int | str | None = None,
        kind: str = "version",
        project: str = "sketchclip",
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | None = None,
        log_model: bool = False,
    ) -> None:
        self.files = RunFiles(save_dir, name, version, kind)
        try:
            super().__init__(
                project=project,
                entity=entity,
                group=group,
                tags=tags and list(tags),
            )
        except ModuleNotFoundError as error:
            raise SketchClipError("W&B is not installed: pip install wandb.") from error
        self._wandb_init.pop("anonymous")  # wandb warns of Lightning's default
        self.upload = log_model

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.files.log_dir)

    @property
    def save_dir(self) -> str:
        """Folder of the run, where W&B writes as well."""
        return str(self.folder)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of the wandb package, started at first use."""
        if self._experiment is None:
            import wandb

            folder = self.folder
            folder.mkdir(parents=True, exist_ok=True)  # else wandb writes elsewhere
            parts = folder.parts[-3 if (folder.parent / CONFIG).is_file() else -2 :]
            self._wandb_init |= {"name": "/".join(parts), "dir": str(folder)}
            settings = wandb.setup().settings
            mode = os.environ.get("WANDB_MODE") or settings.mode  # it reads them once a process
            address = os.environ.get("WANDB_BASE_URL") or settings.base_url
            online = mode not in ("offline", "dryrun", "disabled")
            if online and (problem := problem_of(address)):
                raise SketchClipError(
                    f"W&B did not start: {problem}. Set WANDB_MODE=offline to keep the run here "
                    "and 'wandb sync' it later, or use --trainer.logger=csv."
                )
            try:
                return super().experiment
            except wandb.errors.Error as error:
                raise SketchClipError(
                    f"W&B did not start ({first_line(error)}). Log in with 'wandb "
                    "login', or set WANDB_MODE=offline to keep the run here and 'wandb sync' it "
                    "later."
                ) from error
        return self._experiment

    @rank_zero_only
    def describe(self, config: Mapping[str, Any], headline: str) -> None:
        """Send the settings, nested, and say which metric is compared between runs.

        Args:
            config: Config of the run.
            headline: Metric of the validation; its best value joins W&B's summary.
        """
        self.experiment.config.update(dict(config), allow_val_change=True)
        for name in ("train/*", "val/*", "test/*"):
            self.experiment.define_metric(name, step_metric=STEP)
        self.experiment.define_metric(headline, step_metric=STEP, summary="max,last")

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Nothing: Lightning would repeat, flat, what :meth:`describe` sends."""

    @property
    def sync_command(self) -> str | None:
        """Command that uploads an offline run; None where there is nothing to upload."""
        settings = getattr(self._experiment, "settings", None)
        if settings is None or settings.mode not in ("offline", "dryrun"):
            return None
        return f"wandb sync {os.path.relpath(settings.sync_dir)}"

    @property
    def url(self) -> str | None:
        """Page of the run; None offline."""
        return getattr(self._experiment, "url", None) if self.sync_command is None else None

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Upload the checkpoints, if asked for.

        Args:
            status: Status of the run.
        """
        checkpoints = sorted((self.folder / "checkpoints").glob("*.ckpt"))
        if status != "success" or not self.upload or not checkpoints or self._experiment is None:
            return
        import wandb

        artifact = wandb.Artifact(f"checkpoints-{self.experiment.id}", type="model")
        for path in [*checkpoints, self.folder / "config.yaml"]:
            if path.is_file():
                artifact.add_file(str(path), name=path.name)
        self.experiment.log_artifact(artifact, aliases=["latest"])

    @rank_zero_only
    def close(self) -> None:
        """End the W&B run: the next command in this process has one of its own."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(sys.exc_info()[0] is not None))
            self._experiment = None


def with_files(loggers: Logger | Sequence[Logger] | bool | None) -> Any:
    """Put a logger that has a folder first, which makes it the run folder."""
    if not isinstance(loggers, (Logger, list, tuple)):
        return loggers
    listed = [loggers] if isinstance(loggers, Logger) else [*loggers]
    first = listed[0] if listed else None
    # Not by the value: to ask for the path of a folder makes it.
    if first is None or type(first).log_dir is not Logger.log_dir:
        return listed
    if isinstance(first, WandbRun):
        return [first.files, *listed]
    return [RunFiles(first.save_dir or "runs", str(first.name or "experiment")), *listed]
