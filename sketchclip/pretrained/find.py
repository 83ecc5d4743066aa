"""Find the checkpoint that somebody names: a file, a run, an export, or a repository of the hub."""

import re
from pathlib import Path

from sketchclip.errors import SketchClipError
from sketchclip.runs.folder import CHECKPOINTS, EXPORTED, FIT, LAST, ROOT, last_run

_HUB = re.compile(r"(hf://)?(?P<id>\w[\w.-]*/\w[\w.-]*)")
_FILES = (".ckpt", ".pt", ".pth", ".safetensors")
# Values that mean something to Lightning itself.
_LIGHTNING = frozenset({"hpc", "registry"})


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
        from sketchclip.pretrained.hub import download  # the hub's library takes a second to load

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
