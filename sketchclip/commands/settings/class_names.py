"""Bare class names: those that a command or its configs name are loaded, so that they are found."""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from os.path import isfile
from pathlib import Path
from typing import Any

from sketchclip.config import base_of, find_config, read_yaml
from sketchclip.errors import SketchClipError

_PACKAGES = (
    "data_modules",
    "sketchclip.methods",
    "sketchclip.adaptations",
    "sketchclip.encoders",
    "sketchclip.semantics",
)
_OTHERS = {
    "CLIPImageEncoder": "sketchclip.clip.image_encoder",
    "TrainedEncoder": "sketchclip.pretrained.trained_encoder",
}
_ENDINGS = (".yaml", ".yml", ".json")


def load_named(args: Sequence[str]) -> None:
    """Load the classes that a command names, in its options or in its configs.

    Args:
        args: Arguments of the command. What is wrong with a config is for its reader to say.
    """
    try:
        texts = _texts(_configs(args))
    except (SketchClipError, OSError, UnicodeError):
        return load_all()
    return _load({*re.findall(r"[A-Za-z_]\w*", " ".join([*args, *texts]))})


def load_all() -> None:
    """Load every class that a bare name can mean."""
    _load(None)


def _load(words: Iterable[str] | None) -> None:
    for package in map(import_module, _PACKAGES):
        known = {*package.__all__}
        for name in known if words is None else known & {*words}:
            getattr(package, name)
    for name, module in _OTHERS.items():
        if words is None or name in words:
            import_module(module)


def _configs(args: Sequence[str]) -> Iterator[str]:
    """Files of settings: of ``--config``, or of any other option."""
    for before, arg in zip(["", *args], args, strict=False):
        value = arg.partition("=")[2] or arg
        named = before in ("--config", "-c") or arg.startswith(("--config=", "-c="))
        if named or (value.endswith(_ENDINGS) and isfile(value)):
            yield value


def _texts(configs: Iterable[str]) -> list[str]:
    """Texts of configs, of those that they extend and of files that stand for a value."""
    texts: dict[Path, str] = {}
    left = list(configs)
    while left:
        path = find_config(left.pop())
        if path not in texts:
            texts[path] = path.read_text("utf-8")
            content = read_yaml(path)
            base = base_of(path, content)
            left += [] if base is None else [str(base)]
            near = (path.parent / value for value in _values(content) if value.endswith(_ENDINGS))
            left += [str(file) for file in near if isfile(file)]
    return [*texts.values()]


def _values(content: Any) -> Iterator[str]:
    """Texts among the values of a config, however deep."""
    if isinstance(content, str):
        yield content
    inside = content.values() if isinstance(content, dict) else content
    for value in inside if isinstance(content, dict | list) else ():
        yield from _values(value)
