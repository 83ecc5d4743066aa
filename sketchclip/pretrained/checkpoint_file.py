"""The file of a checkpoint: read without running anything in it, refused if it is none of ours."""

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sketchclip.checkpoint import CompactCheckpointIO
from sketchclip.errors import SketchClipError, first_line

_ENTRIES: dict[str, Any] = {
    **dict.fromkeys(("state_dict", "hyper_parameters", "preprocessing"), Mapping),
    "training_classes": (list, tuple),
}
_OPTIONAL: dict[str, Any] = {"backbone": (Mapping, type(None)), "training_data": (list, tuple)}


def read_checkpoint(path: Path, also: Sequence[str] = ()) -> dict[str, Any]:
    """Read a checkpoint of ours, to the CPU.

    Args:
        path: ``.ckpt`` or ``.safetensors``.
        also: Further entries that it needs.

    Raises:
        SketchClipError: If it is empty, damaged, holds code, or is none of ours.
    """
    try:
        if path.suffix != ".safetensors":
            with zipfile.ZipFile(path) as archive:  # PyTorch does not look at the checksums
                if changed := archive.testzip():
                    raise ValueError(f"{changed} differs from its checksum")
        content = CompactCheckpointIO().load_checkpoint(path)
        reason = _not_ours(content, also)
    except Exception as error:
        content, reason = {}, _unreadable(path, error)
    if reason:
        raise SketchClipError(
            f"{path} is no checkpoint of sketchclip: {reason}. Expected a file that 'sketchclip "
            "fit' or 'sketchclip export' wrote: <run>/checkpoints/last.ckpt or model.safetensors."
        )
    return content


def _not_ours(content: Any, also: Sequence[str]) -> str:
    """Say what is wrong with the entries of a checkpoint; nothing if they are as expected."""
    if not isinstance(content, Mapping):
        return f"it holds one object of type {type(content).__name__}"
    absent = [name for name in (*_ENTRIES, *also) if name not in content]
    if absent:
        return f"it has no entry {', '.join(absent)}"
    for name, kind in (_ENTRIES | _OPTIONAL).items():
        if name in content and not isinstance(content[name], kind):
            return f"its entry {name} is of type {type(content[name]).__name__}"
    strange = [name for name in content["hyper_parameters"] if not isinstance(name, str)]
    if strange:
        return f"its hyper_parameters have the name {strange[0]!r:.80}, which is no text"
    for name, value in content["state_dict"].items():
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_complex():
            return f"its state_dict holds what is no dense tensor of real numbers: {name}"
        if value.is_quantized or value.device.type != "cpu":
            return f"its state_dict holds a tensor without plain numbers: {name}"
    return ""


def _unreadable(path: Path, error: Exception) -> str:
    if path.is_file() and not path.stat().st_size:
        return "it is empty"
    if path.suffix != ".safetensors" and not zipfile.is_zipfile(path):
        return "it is cut off, or no archive of PyTorch"
    if isinstance(error, pickle.UnpicklingError):  # its text advises to run the code
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        return f"it holds code, which is never run ({code[1] if code else 'damaged'})"
    return f"it is damaged or incomplete ({first_line(error).partition('. ')[0]})"
