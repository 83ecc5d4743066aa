"""Identity of a model that embeds: embeddings of two models cannot be compared."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import PureWindowsPath
from typing import Any

import torch

from sketchclip.methods import RetrievalModule

# Files of weights and data, and what training compares with: tensors say what comes of them.
_NOT_EMBEDDING = frozenset({"pretrained", "class_names", "text_head", "root", "prepared"})


def fingerprint(module: RetrievalModule, settings: Mapping[str, Any]) -> str:
    """Hash all weights and all settings that change embeddings.

    Args:
        module: The method.
        settings: Its arguments, and the preprocessing.

    Returns:
        16 hexadecimal digits; the same on every machine.
    """
    told = {
        "class": type(module).__qualname__,
        "backbone": getattr(module, "backbone", None),
        "settings": _placeless(settings),
    }
    digest = blake2b(json.dumps(told, sort_keys=True, default=str).encode(), digest_size=8)
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in sorted(module.state_dict().items()):
        if (tensor.data_ptr(), tensor.shape) not in seen:  # towers share frozen tensors
            seen.add((tensor.data_ptr(), tensor.shape))
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _placeless(settings: Any) -> Any:
    """Settings without those that change nothing, equal wherever the files that they name lie."""
    if isinstance(settings, Mapping):
        return {n: _placeless(v) for n, v in settings.items() if n not in _NOT_EMBEDDING}
    if isinstance(settings, (list, tuple)):
        return [_placeless(value) for value in settings]
    return PureWindowsPath(settings).name if isinstance(settings, str) else settings
