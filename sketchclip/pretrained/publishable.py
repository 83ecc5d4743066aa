"""Settings as they may be published: without the paths of the machine that they were made on."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

# Where somebody keeps data says nothing to others; everybody gives an own --data.root.
_PLACES = frozenset({"root", "prepared"})
_WEIGHTS = "pretrained"
_TRAINER = ("max_epochs", "max_steps", "precision")


def publishable(settings: Any, key: str = "") -> Any:
    """Settings without paths.

    Folders of data become null, and so do files of pretrained weights: those of the backbone's own
    name are taken then, and compared by their hash. Of other paths the last part remains,
    so that a missing file is still asked for by its name.

    Args:
        settings: Nested mappings and lists with plain values.
        key: Name of the setting itself.

    Returns:
        A copy.

    Example:
        >>> publishable({"root": "/home/me/Sketchy", "split": "/home/me/unseen.txt", "lr": 1e-5})
        {'root': None, 'split': 'unseen.txt', 'lr': 1e-05}
    """
    if isinstance(settings, Mapping):
        return {name: publishable(value, str(name)) for name, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [publishable(value, key) for value in settings]
    if key in _PLACES:
        return None
    if not isinstance(settings, str) or not _is_path(settings):
        return settings
    return None if key == _WEIGHTS else PureWindowsPath(settings).name


def publishable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Method, data and length of training from a run's config, without paths."""
    kept = {name: config[name] for name in ("seed_everything", "model", "data") if name in config}
    trainer = config.get("trainer") or {}
    kept["trainer"] = {name: trainer[name] for name in _TRAINER if name in trainer}
    return dict(publishable(kept))


def _is_path(value: str) -> bool:
    absolute = PurePosixPath(value).is_absolute() or PureWindowsPath(value).drive != ""
    if absolute or value.startswith("~"):
        return True
    # A pattern such as <class>/sketch/* holds slashes and leads nowhere.
    return Path(value).is_file() or (("/" in value or "\\" in value) and Path(value).exists())
