"""Layered YAML: a config may name the one it builds on with ``extends: base.yaml``."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from sketchclip.errors import SketchClipError, printable


def find_config(value: str) -> Path:
    """Path of a config: the file itself, else the one of that name shipped with the package.

    A wheel carries ``experiments/`` inside the package, so the commands of the README work
    wherever it is installed.

    Args:
        value: Text that the user typed after ``--config``.

    Returns:
        An existing file.

    Raises:
        SketchClipError: If there is none.
    """
    path = Path(value)
    if path.is_file():
        return path
    inside = f"/{path.as_posix()}".partition("/experiments/")[2]
    for folder in experiment_folders():
        if inside and (folder / inside).is_file():
            return folder / inside
    if path.is_dir():
        inside = ", ".join(sorted(str(file) for file in path.glob("*.yaml"))[:8])
        raise SketchClipError(
            f"Config {value} is a folder. Expected a YAML file{inside and f', such as {inside}'}."
        )
    shipped = sorted({p.name for folder in experiment_folders() for p in folder.glob("*.yaml")})
    raise SketchClipError(
        f"Config {value} does not exist. Shipped: {', '.join('experiments/' + n for n in shipped)}."
    )


def experiment_folders() -> list[Path]:
    """Folders with the shipped configs: in the wheel, and beside the package in a checkout."""
    package = Path(str(files("sketchclip")))
    return [f for f in (package / "experiments", package.parent / "experiments") if f.is_dir()]


class LayeredConfig(ActionConfigFile):
    """``--config`` that applies the file named by ``extends`` first, relative to the config."""

    @staticmethod
    def apply_config(
        parser: ArgumentParser, cfg: Namespace, dest: str, value: str, *args: Any, **kwargs: Any
    ) -> None:
        """Apply a config on top of what it extends; ``value`` is its path as typed."""
        try:
            path = find_config(str(value))
            try:
                content = yaml.safe_load(path.read_text("utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise SketchClipError(f"{path} is no YAML: {error}") from error
            if not isinstance(content, dict):
                raise SketchClipError(f"{path}: expected a mapping of settings at the top level.")
            base = content.get("extends") and (path.parent / content["extends"]).resolve()
            done = [Path(str(p)).resolve() for p in cfg.get(dest) or [] if p is not None]
            # Applied once: under two configs it must not undo what the first one changed.
            if base and base not in done:
                LayeredConfig.apply_config(parser, cfg, dest, str(base), *args, **kwargs)
        except SketchClipError as error:
            # Leave here: argparse would bury the message under its usage text.
            print(f"sketchclip: error: {printable(error, lines=True)}", file=sys.stderr)
            raise SystemExit(2) from None
        ActionConfigFile.apply_config(parser, cfg, dest, str(path), *args, **kwargs)


def consumed(_: str | None) -> None:
    """Type of the ``extends`` option: by now the file has been applied, so nothing is left."""
