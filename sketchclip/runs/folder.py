"""Run folders: which is the last, where its checkpoint is, and where a test of it belongs."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sketchclip.errors import SketchClipError

ROOT = Path("runs")
CONFIG, ENVIRONMENT, CHECKPOINTS, LAST = "config.yaml", "environment.json", "checkpoints", "last"
FIT = "fit"
"""Of a run of 'sketchclip ablate': the part that has the checkpoint; its test lies beside it."""
EXPORTED, ABOUT = "model.safetensors", "config.json"
"""Of 'sketchclip export' and of repositories of the hub: weights; what they are and their tests."""
CELL = "cell.json"
"""Written last by 'sketchclip ablate': a folder that has it holds a finished run."""
_HUB = re.compile(r"(hf://)?(?P<id>\w[\w.-]*/\w[\w.-]*)")
_FILES = (".ckpt", ".pt", ".pth", ".safetensors")
# Values that mean something to Lightning itself.
_LIGHTNING = frozenset({"hpc", "registry"})


def last_run(root: Path) -> Path:
    """The run that wrote the newest checkpoint.

    Grids and quickstart keep their runs one level deeper and do not count.

    Args:
        root: Holds ``<experiment>/<run>``.

    Returns:
        The run folder.

    Raises:
        SketchClipError: If there is none.
    """
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
    """Let ``last`` beside a numbered run folder lead to it; other folders get no link.

    Args:
        folder: ``<experiment>/version_<n>``.
    """
    if not re.fullmatch(r"version_\d+", folder.name):
        return
    link, new = folder.parent / LAST, folder.parent / f".{LAST}.{os.getpid()}"
    if link.is_dir() and not link.is_symlink():
        return  # a run that somebody has named so
    try:
        new.symlink_to(folder.name, target_is_directory=True)
    except OSError:  # file systems and accounts without links: its name, as text
        new.write_text(folder.name + "\n", encoding="utf-8")
    new.replace(link)


def run_of(checkpoint: Path) -> Path | None:
    """Folder of the run that wrote a checkpoint; None if it is not in a run folder."""
    run = checkpoint.parent.parent
    inside = checkpoint.parent.name == CHECKPOINTS and (run / CONFIG).is_file()
    return run if inside else None


def config_of(checkpoint: Path) -> Path | None:
    """Config that a checkpoint was trained with: of its run, or beside it in a hub repository."""
    run = run_of(checkpoint)
    beside = checkpoint.parent / CONFIG
    return run / CONFIG if run else beside if beside.is_file() else None


def find_checkpoint(value: str, root: Path = ROOT, option: str = "--ckpt_path") -> str:
    """File of a checkpoint as it can be named on the command line.

    Args:
        value: ``last`` or ``best`` of the last run, a file, a run folder, a folder of 'sketchclip
            export', or a repository of the Hugging Face hub as ``hf://owner/name`` or
            ``owner/name``.
        root: Where runs are.
        option: What the user gave it for, for messages.

    Returns:
        Path of an existing file, or what Lightning resolves itself.

    Raises:
        SketchClipError: If there is none.
    """
    if value in _LIGHTNING:
        return value
    if value in (LAST, "best"):
        return str(_checkpoint_in(last_run(root), value))
    path = Path(value)
    if path.is_file() and path.name == LAST:  # the link, as text
        path = path.parent / path.read_text("utf-8").strip()
    if path.is_dir():
        return str(path / EXPORTED if (path / EXPORTED).is_file() else _checkpoint_in(path, LAST))
    if path.is_file():
        return str(path)
    on_hub = hub_id(value)
    if on_hub:
        from sketchclip.pretrained.hub import download

        return str(download(on_hub, option))
    raise SketchClipError(f"{option}={value} does not exist.")


def hub_id(value: str) -> str | None:
    """``owner/name`` of a repository of the Hugging Face hub; None for what can be none.

    >>> hub_id("hf://me/doodles"), hub_id("me/last.ckpt")
    ('me/doodles', None)
    """
    hub = _HUB.fullmatch(value)
    here = Path(value).exists() or Path(value).suffix in _FILES
    return hub["id"] if hub and not here else None


def _checkpoint_in(run: Path, name: str) -> Path:
    if not (run / CHECKPOINTS).is_dir() and (run / FIT / CHECKPOINTS).is_dir():
        run = run / FIT
    path = run / CHECKPOINTS / f"{name}.ckpt"
    if not path.is_file():
        why = " Without validation there is no best epoch." if name == "best" else ""
        raise SketchClipError(f"{run} has no {CHECKPOINTS}/{name}.ckpt.{why}")
    return path


def claim(parent: Path, names: Iterable[str]) -> Path:
    """Make the first folder that does not exist; of two processes, each gets one of its own.

    Args:
        parent: Made if missing.
        names: Tried in this order.

    Returns:
        The new folder.

    Raises:
        SketchClipError: If it cannot be made.
    """
    for name in names:
        try:
            (parent / name).mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise SketchClipError(
                f"Cannot make a run folder in {parent} ({error}). Name another place with "
                "--trainer.logger.save_dir."
            ) from error
        return parent / name
    raise SketchClipError(f"{parent} has no free name for a run folder. Remove old runs.")


def place(
    command: str, checkpoint: str | None, save_dir: str, main: bool = True
) -> tuple[str, str, str] | None:
    """Where results of evaluating a run belong: beside its checkpoint.

    Args:
        command: test, validate or predict.
        checkpoint: File that is evaluated.
        save_dir: Where the user keeps runs; runs elsewhere are left as they are.
        main: Whether this is the main process, which makes the folder.

    Returns:
        save_dir, name and version of the logger: the folder ``<run>/test``, with a number if it is
        there already; None where the evaluation gets a run folder of its own.
    """
    run = run_of(Path(checkpoint)) if checkpoint else None
    if run is None or Path(save_dir).resolve() not in run.resolve().parents:
        return None
    names = (f"{command}_{n}" if n > 1 else command for n in range(1, 10_000))
    return str(run), "", claim(run, names).name if main else command
