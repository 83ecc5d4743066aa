"""What a user gave: options as typed and configs in their order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sketchclip.commands.parser_errors.names import INIT

_CLASS = ".class_path"


@dataclass(frozen=True)
class Given:
    """Options and configs of one command.

    Attributes:
        args: Arguments as typed.
        layers: Configs and what they hold; of two with one key the later one counts.
    """

    args: list[str] = field(default_factory=list)
    layers: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)

    def source(self, key: str, found: str | None = None) -> tuple[str, bool]:
        """Where a setting was given, and whether that is a file.

        Args:
            key: Dotted name of an option.
            found: Its value, where several places give one.

        Returns:
            The option as typed, or file and key; the option as it would be typed if there is none.
        """
        places = [*self._typed(key), *self._written(key)]
        exact = [place for place in places if str(place[2]) == found]
        where, in_file, _ = (exact or places or [(f"--{key}", False, None)])[0]
        return where, in_file

    def pairs(self) -> list[tuple[str, str]]:
        """Every argument with the one that follows; an empty text follows the last."""
        return [*zip(self.args, [*self.args[1:], ""], strict=False)]

    def _typed(self, key: str) -> Iterator[tuple[str, bool, Any]]:
        for arg, after in reversed(self.pairs()):
            option, equals, value = arg.partition("=")
            option = option.removesuffix("+")
            name = option.removeprefix("--").replace(INIT, "")
            if option.startswith("--") and name in (key, key + _CLASS):
                yield option, False, value if equals else after

    def _written(self, key: str) -> Iterator[tuple[str, bool, Any]]:
        for path, content in reversed(self.layers):
            for name, written, value in reversed([*_keys(content)]):
                if name in (key, key + _CLASS):
                    yield f"{path}: {written}", True, value


def _keys(content: Any, plain: str = "", written: str = "") -> Iterator[tuple[str, str, Any]]:
    """Dotted keys of a config, as an option names them and as the file does, and their values."""
    if isinstance(content, list):
        for part in content:
            yield from _keys(part, plain, written)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        below = f"{written}.{key}".strip(".")
        name = f"{plain}.{key}".strip(".").replace(INIT, "")
        yield name, below, value
        yield from _keys(value, name, below)
