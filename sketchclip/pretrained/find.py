"""Find the checkpoint that somebody names: a file, a run, an export, or a repository of the hub."""

import re
from difflib import get_close_matches
from pathlib import Path

from data_modules.listing.names import shorten
from sketchclip.errors import SketchClipError
from sketchclip.runs.folder import CHECKPOINTS, EXPORTED, FIT, LAST, ROOT, last_run

_PREFIX = "hf://"
_HUB = re.compile(rf"({_PREFIX})?(?P<id>\w[\w.-]*/\w[\w.-]*)")
_ALIKE = 0.75
"""Likeness of two names, from 0 to 1, from which one may be a typing error of the other."""
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
    path = Path(value).expanduser()
    if path.is_file() and path.name == LAST:  # the link, as text
        path = path.parent / path.read_text("utf-8", errors="replace").strip()
    if path.is_dir():
        return str(path / EXPORTED if (path / EXPORTED).is_file() else _checkpoint_in(path, LAST))
    if path.is_file():
        return str(path)
    on_hub = hub_id(value)
    if on_hub:
        from sketchclip.pretrained.hub import download  # the hub's library takes a second to load

        return str(download(on_hub, option))
    raise SketchClipError(f"{option}={value} does not exist{_there_is(value)}")


def hub_id(value: str) -> str | None:
    """``owner/name`` of a repository of the Hugging Face hub; None for what looks like a path.

    A path is what is there, what begins with a folder that is there, what ends as a checkpoint
    does, and what differs from something that is there by a typing error. ``hf://`` is none.

    >>> hub_id("hf://me/doodles"), hub_id("me/last.ckpt"), hub_id("runs/doodles/version_0")
    ('me/doodles', None, None)
    """
    hub = _HUB.fullmatch(value)
    if hub is None or value.startswith(_PREFIX):
        return hub["id"] if hub else None
    path = Path(value)
    here = path.exists() or path.parent.is_dir() or path.suffix in _FILES
    return None if here or near(value) else hub["id"]


def near(value: str) -> str | None:
    """Existing path that a path with typing errors may mean; None if no name is like it."""
    path = Path(value).expanduser()
    found = Path(path.anchor)
    for part in path.parts[bool(path.anchor) :]:
        if part == ".." or (found / part).exists():
            found /= part
            continue
        like = get_close_matches(part, _names(found), 1, _ALIKE)
        if not like:
            return None
        found /= like[0]
    return str(found)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:  # a file, or a folder that may not be read
        return []


def _there_is(value: str) -> str:
    """End of a message on a path that does not exist: what is there instead."""
    like = near(value)
    if like:
        hub = _HUB.fullmatch(value)
        other = f" A repository of the Hugging Face hub is {_PREFIX}{value}." if hub else ""
        return f"; there is {like}.{other}"
    folder = Path(value).expanduser().parent
    names = _names(folder) if folder != Path() else []
    return f"; {folder} holds {shorten(names)}." if names else "."


def _checkpoint_in(run: Path, name: str) -> Path:
    if not (run / CHECKPOINTS).is_dir() and (run / FIT / CHECKPOINTS).is_dir():
        run = run / FIT
    path = run / CHECKPOINTS / f"{name}.ckpt"
    if not path.is_file():
        why = " Without validation there is no best epoch." if name == "best" else ""
        inside = sorted({p.parents[1].name for p in run.glob(f"*/{CHECKPOINTS}/{name}.ckpt")})
        if inside:
            why += f" Name a run in it: {shorten([str(run / found) for found in inside])}."
        raise SketchClipError(f"{run} has no {CHECKPOINTS}/{name}.ckpt.{why}")
    return path
