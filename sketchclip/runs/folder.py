"""Run folders: the last run, its checkpoint, and the folder of a test of it."""

import os
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sketchclip.errors import SketchClipError

ROOT = Path("runs")
CONFIG, ENVIRONMENT, CHECKPOINTS, LAST = "config.yaml", "environment.json", "checkpoints", "last"
_DESCRIPTION = {CONFIG, ENVIRONMENT, "hparams.yaml"}
COST = "cost.json"
"""File in a run with the parameters, speed and memory of its training."""
FIT = "fit"
"""Folder in a run of 'sketchclip ablate' that holds the checkpoint, beside that of the test."""
EXPORTED, ABOUT = "model.safetensors", "config.json"
"""File names of an exported model: weights, and description with its tests."""
FINISHED = "run.json"
"""File that 'sketchclip ablate' writes last: a folder that has it holds a finished run."""


def last_run(root: Path) -> Path:
    """Find the run with the newest checkpoint; runs of grids, one level deeper, do not count."""
    found = [
        path
        for path in root.glob(f"*/*/{CHECKPOINTS}/last.ckpt")
        if not path.parents[1].is_symlink() and path.parents[1].name != LAST
    ]
    if not found:
        raise SketchClipError(
            f"No run with a checkpoint under {root}{os.sep}. Train one first, for example "
            "'sketchclip fit --config experiments/doodles.yaml', or name a config and a checkpoint."
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns).parents[1]


def link_last(folder: Path) -> None:
    """Let ``last`` beside a folder ``version_<n>`` lead to it; other folders get no link."""
    if not re.fullmatch(r"version_\d+", folder.name):
        return
    link, new = folder.parent / LAST, folder.parent / f".{LAST}.{os.getpid()}"
    if link.is_dir() and not link.is_symlink():
        return  # a run that a user named like the link
    try:
        new.symlink_to(folder.name, target_is_directory=True)
    except OSError:  # file systems and accounts without links: its name, as text
        new.write_text(folder.name + "\n", encoding="utf-8")
    new.replace(link)


def discard_without_results(folder: Path) -> None:
    """Remove the folder of a run that ended before it wrote more than what it was to do."""
    if {path.name for path in folder.iterdir()} - _DESCRIPTION:
        return
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    link = folder.parent / LAST
    if link.is_symlink() and not link.exists():
        link.unlink()
        numbers = [p.name.removeprefix("version_") for p in folder.parent.glob("version_*")]
        before = max((int(number) for number in numbers if number.isdecimal()), default=-1)
        if before >= 0:
            link_last(folder.parent / f"version_{before}")


def run_of(checkpoint: Path) -> Path | None:
    """Find the folder of the run that wrote a checkpoint; None if it is in no run folder."""
    run = checkpoint.parent.parent
    inside = checkpoint.parent.name == CHECKPOINTS and (run / CONFIG).is_file()
    return run if inside else None


def is_run(version: int | str | None, checkpoint: str | None) -> bool:
    """Whether a version of a logger names the folder of the run that wrote a checkpoint."""
    run = run_of(Path(checkpoint)) if checkpoint else None
    return run is not None and run.name in (str(version), f"version_{version}")


def goes_on_in_place(checkpoint: object, folder: Path) -> bool:
    """Whether a training goes on from a checkpoint of its own run folder.

    Args:
        checkpoint: Path that the training starts from; None for none.
        folder: Folder of the run.
    """
    run = run_of(Path(str(checkpoint))) if checkpoint else None
    return run is not None and run.resolve() == folder.resolve()


def config_of(checkpoint: Path) -> Path | None:
    """Find the config of a checkpoint: in its run, or beside it in a hub repository."""
    run = run_of(checkpoint)
    beside = checkpoint.parent / CONFIG
    return run / CONFIG if run else beside if beside.is_file() else None


@dataclass(frozen=True)
class RunFolder:
    """Folder of one command's files: decided once, made when its path is first asked for.

    Attributes:
        parent: Folder that it is made in.
        kind: ``version`` for trainings, which have numbers from 0. Evaluations get one from the
            second time on: of a run they have the name of the command, of a model that no run here
            has trained that of the method.
    """

    parent: Path
    kind: str = "version"

    @classmethod
    def for_command(
        cls, command: str, save_dir: str, name: str, checkpoint: str | None, method: str
    ) -> "RunFolder":
        """Decide where a command's files go: beside the checkpoint that it evaluates, if in a run.

        So ``version_0`` is the first training, whatever was tested before.

        Args:
            command: fit, test, validate or predict.
            save_dir: Where the user keeps runs; runs elsewhere are left as they are.
            name: Experiment, the folder of its runs.
            checkpoint: File that is read.
            method: Class of the model.
        """
        if command == "fit":
            return cls(Path(save_dir) / name)
        run = run_of(Path(checkpoint)) if checkpoint else None
        if run is None or Path(save_dir).resolve() not in run.resolve().parents:
            return cls(Path(save_dir) / name, method)
        return cls(run, command)

    def make(self) -> Path:
        """Make the first folder that does not exist; of two processes, each gets one of its own.

        Raises:
            SketchClipError: If it cannot be made.
        """
        for _ in range(10_000):
            folder = self.free()
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise SketchClipError(
                    f"Cannot make a run folder in {self.parent} ({error}). Name another place with "
                    "--trainer.logger.save_dir."
                ) from error
            return folder
        raise SketchClipError(f"{self.parent} has no free name for a run folder. Remove old runs.")

    def free(self) -> Path:
        """Find the first folder that does not exist, and leave it to others to make it."""
        for number in count():
            name = f"version_{number}" if self.kind == "version" else self.kind
            if self.kind != "version" and number:
                name += f"_{number + 1}"
            if not os.path.lexists(self.parent / name):
                break
        return self.parent / name
