"""Keys of a config and the kinds of their values, checked against the options of a command."""

from pathlib import Path
from typing import Any

from sketchclip.commands.parser_errors.names import advice, classes_in, hints, nearest, option_names
from sketchclip.config import shown
from sketchclip.errors import SketchClipError


def check_layer(path: Path, content: dict[str, Any], parser: Any) -> None:
    """Refuse keys that a command does not have, and values where it takes a mapping.

    Args:
        path: A config.
        content: What it holds.
        parser: Parser of the command.

    Raises:
        SketchClipError: Names the file, the key, what was expected and what was found.
    """
    options = hints(parser)
    known = {name.partition(".")[0] for name in options} - {"print_config", "config"}
    groups = {name.partition(".")[0] for name in options if "." in name}
    for key, value in content.items():
        if not isinstance(key, str):
            raise SketchClipError(f"{path}: expected a text as a key, found {shown(key)}.")
        where = f"{path}: {key}"
        if (head := key.partition(".")[0]) not in known:
            deeper = [n for n in option_names(parser, derived=True) if n.partition(".")[0] in known]
            near = nearest(head, known) or nearest(key, deeper)
            raise SketchClipError(f"{where}: unknown key.{advice(near)}")
        if key in groups and not isinstance(value, dict | str):  # a text names a file with them
            raise SketchClipError(
                f"{where}: expected a mapping, found {shown(value)}. Put settings below it, or "
                "remove the key."
            )
        is_class = key == head and classes_in(options.get(key))
        if is_class and not isinstance(value, dict | str | None):
            raise SketchClipError(
                f"{where}: expected the name of a class, or a mapping with class_path and "
                f"init_args, found {shown(value)}."
            )
        _check_classes(where, value)


def _check_classes(where: str, value: Any) -> None:
    """Check what stands beside class_path and init_args, however deep."""
    for part in value if isinstance(value, list) else []:
        _check_classes(where, part)
    if not isinstance(value, dict):
        return
    name, arguments = value.get("class_path", ""), value.get("init_args", {})
    if not isinstance(name, str):
        raise SketchClipError(
            f"{where}.class_path: expected the name of a class, found {shown(name)}."
        )
    if not isinstance(arguments, dict):
        raise SketchClipError(f"{where}.init_args: expected a mapping, found {shown(arguments)}.")
    for key, part in value.items():
        _check_classes(f"{where}.{key}", part)
