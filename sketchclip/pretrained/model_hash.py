"""Identity of a model that embeds: vectors of two models cannot be compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from hashlib import blake2b
from pathlib import PureWindowsPath
from typing import Any

from torch import Tensor

from sketchclip.methods.base import RetrievalModule

# Files of weights and data, and class names: what comes of them is in the tensors.
_NOT_EMBEDDING = frozenset({"pretrained", "class_names", "root", "prepared"})


def model_hash(module: RetrievalModule, settings: Mapping[str, Any]) -> str:
    """Hash all weights that retrieval needs and all settings that change embeddings: 16 digits."""
    identity = {
        "class": type(module).__qualname__,
        "backbone": getattr(module, "backbone", None),
        "settings": _embedding_settings(settings, module.training_only),
    }
    digest = blake2b(json.dumps(identity, sort_keys=True, default=str).encode(), digest_size=8)
    seen: set[tuple[int, Any]] = set()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, Tensor) or name.startswith(module.training_only):
            continue
        key = (value.data_ptr(), value.shape)
        if key not in seen:  # towers share frozen tensors
            seen.add(key)
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _embedding_settings(settings: Any, training_only: tuple[str, ...] = ()) -> Any:
    """Leave out settings that change no embedding; of paths keep the names."""
    if is_dataclass(settings) and not isinstance(settings, type):
        settings = asdict(settings)
    if isinstance(settings, Mapping):
        left_out = _NOT_EMBEDDING | {prefix.rstrip(".") for prefix in training_only}
        return {n: _embedding_settings(v) for n, v in settings.items() if n not in left_out}
    if isinstance(settings, (list, tuple)):
        return [_embedding_settings(value) for value in settings]
    return PureWindowsPath(settings).name if isinstance(settings, str) else settings
