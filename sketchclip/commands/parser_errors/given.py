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

    def source(self, key: str) -> tuple[str, bool]:
        """Where a setting was given, and whether that is a file.

        Args:
            key: Dotted name of an option.

        Returns:
            The option as typed, else file and key, else the option as it would be typed.
        """
        for arg in reversed(self.args):
            option = arg.partition("=")[0].removesuffix("+")
            name = option.removeprefix("--").replace(INIT, "")
            if option.startswith("--") and name in (key, key + _CLASS):
                return option, False
        for path, content in reversed(self.layers):
            written = dict(_keys(content))
            if key in written:
                return f"{path}: {written[key]}", True
        return f"--{key}", False


def _keys(content: Any, plain: str = "", written: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys of a config, as an option names them and as the file does."""
    if isinstance(content, list):
        for part in content:
            yield from _keys(part, plain, written)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        below = f"{written}.{key}".strip(".")
        name = f"{plain}.{key}".strip(".").replace(INIT, "")
        yield name, below
        yield from _keys(value, name, below)
