"""Bare class names: those that a command or its configs name are loaded, so that they are found."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from sketchclip.config import find_config
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
_BASE = re.compile(r"^extends:[ \t]*['\"]?([^'\"\s#]+)", re.MULTILINE)


def load_named(args: Sequence[str]) -> None:
    """Load the classes that a command names, in its options or in its configs.

    Args:
        args: Arguments of the command. What is wrong with a config is for its reader to say.
    """
    values = [arg.partition("=")[2] or arg for arg in args]
    configs = [value for value in values if value.endswith((".yaml", ".yml"))]
    words = {*_words(" ".join(args)), *_words(" ".join(_texts(configs)))}
    _load(words)


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


def _words(text: str) -> set[str]:
    return {*re.findall(r"[A-Za-z_]\w*", text)}


def _texts(configs: Iterable[str]) -> list[str]:
    """Texts of configs and of those that they extend, as far as they can be read."""
    texts: dict[Path, str] = {}
    left = list(configs)
    while left:
        with suppress(SketchClipError, OSError, UnicodeError):
            path = find_config(left.pop()).resolve()
            if path not in texts:
                texts[path] = path.read_text("utf-8")
                left += [str(path.parent / base) for base in _BASE.findall(texts[path])]
    return [*texts.values()]
