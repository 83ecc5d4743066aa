"""Layered YAML: a config may name the one it builds on with ``extends: base.yaml``."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml
from jsonargparse import (
    ActionConfigFile,
    ArgumentParser,
    Namespace,
    get_loader,
    set_dumper,
    set_loader,
)

from sketchclip.errors import SketchClipError, printable


class _StrictLoader(yaml.SafeLoader):
    """Refuses circles, the character 0, and a mapping that has a key twice.

    Merge keys (``<<: *base``) are no second time; they are there to be overridden.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._checked: dict[int, yaml.MappingNode] = {}
        self._open: list[str | None] = []  # anchors of the nodes that are being read

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and "\0" in value:  # no path has one, and none can be typed
            raise yaml.MarkedYAMLError(
                problem=f"line {node.start_mark.line + 1}: a text with the character 0"
            )
        return value

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # Comes before any use of a mapping, and joins what it merges to its own keys.
        if id(node) not in self._checked:
            self._checked[id(node)] = node
            self._check(node)
        super().flatten_mapping(node)

    def _check(self, node: yaml.MappingNode) -> None:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            if merges or not isinstance(key_node, yaml.ScalarNode):
                continue
            key, line = self.construct_object(key_node), key_node.start_mark.line + 1
            if key in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"{key_node.value!r} stands in lines {lines[key]} and {line} of one "
                    "mapping. Keep one of them"
                )
            lines[key] = line

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # An anchor within itself is a circle, which no setting is and nothing here can walk.
        event = self.peek_event()
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent) and anchor in self._open:
            line = event.start_mark.line + 1  # type: ignore[union-attr]
            raise yaml.MarkedYAMLError(problem=f"line {line}: *{anchor} stands within &{anchor}")
        self._open.append(anchor)
        node = super().compose_node(parent, index)
        self._open.pop()
        return node


def load_yaml(text: str) -> Any:
    """Read YAML in which no mapping has a key twice.

    >>> load_yaml("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}")["d"]
    {'b': 1, 'c': 3}

    Raises:
        yaml.YAMLError: If it is none.
    """
    return yaml.load(text, _StrictLoader)


def read_yaml(path: Path) -> Any:
    """Read a YAML file: the one way in which configs and grids are read.

    Raises:
        SketchClipError: If it cannot be read or is no YAML.
    """
    if path.is_dir():
        raise SketchClipError(f"{path} is a folder. Expected a YAML file.")
    try:
        return load_yaml(path.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        if error.context is None and error.problem_mark is None:  # of the loader above
            raise SketchClipError(f"{path}: {error.problem}.") from error
        raise SketchClipError(f"{path} is no YAML: {_explained(error)}") from error
    except UnicodeDecodeError as error:
        raise SketchClipError(
            f"{path} is no YAML: it is no text in UTF-8 ({error.reason} at byte {error.start}). "
            "Save it as UTF-8."
        ) from error
    except OSError as error:
        raise SketchClipError(f"Cannot read {path} ({error.strerror or error}).") from error
    # A date that is none is a ValueError of PyYAML; brackets may nest deeper than Python calls.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SketchClipError(f"{path} is no YAML: {error}") from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read a config: YAML with a mapping at the top level, empty or not.

    Raises:
        SketchClipError: If it is none.
    """
    content = read_yaml(path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SketchClipError(f"{path}: expected a mapping of settings at the top level.")
    return content


def _explained(error: yaml.MarkedYAMLError) -> str:
    tab = "'\\t'" in str(error.problem)
    hint = "lines are indented by spaces, not by tabs: " if tab else ""
    return hint + str(error).replace('in "<unicode string>", line', "in line")


def base_of(path: Path, content: Any, above: Sequence[Path] = ()) -> Path | None:
    """File that a YAML builds on, see ``extends``.

    Args:
        path: The file.
        content: What it holds.
        above: Files that build on it, the one that was named first.

    Raises:
        SketchClipError: If ``extends`` names no file, or one of those that build on it.
    """
    if not isinstance(content, dict) or "extends" not in content:
        return None
    named = content["extends"]
    if not isinstance(named, str) or not named.strip():
        raise SketchClipError(
            f"{path}: extends: expected the name of one file, found {shown(named)}. Name one, or "
            "remove the line."
        )
    base, chain = path.parent / named, [*above, path]
    known = [one.resolve() for one in chain]
    if base.resolve() in known:
        first = known.index(base.resolve())
        circle = [*chain[first:], chain[first]]
        raise SketchClipError(
            f"{' extends '.join(str(one) for one in circle)}: a file cannot build on itself. "
            "Remove one 'extends'."
        )
    return base


def _load_once(text: str) -> Any:
    """Load as jsonargparse does, which reads values of options and files named in them, too."""
    if "\n" in text or "{" in text:
        load_yaml(text)
    return _load_by_default(text)


class _Dumper(yaml.SafeDumper):
    """Writes a member of an enumeration, as defaults of Lightning's callbacks are, as its value."""


_Dumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


def _dump(tree: Any) -> str:
    return str(
        yaml.dump(
            tree, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
        )
    )


set_dumper("yaml", _dump)
_load_by_default = get_loader("yaml")
set_loader("yaml", _load_once, (yaml.YAMLError,))


def shown(value: Any) -> str:
    """Text of a value as it stands in YAML, cut where it is long.

    >>> shown(None), shown("x"), shown([{"a": 1}])
    ('null', "'x'", "[{'a': 1}]")
    """
    text = "null" if value is None else repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


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
    if near := _nearest(path):
        told = f"Nearest: {', '.join(near)}. 'sketchclip list experiments' lists what is shipped."
        raise SketchClipError(f"Config {value} does not exist. {told}")
    shipped = sorted({p.name for folder in experiment_folders() for p in folder.glob("*.yaml")})
    raise SketchClipError(
        f"Config {value} does not exist. Shipped: {', '.join('experiments/' + n for n in shipped)}."
    )


def _nearest(path: Path) -> list[str]:
    """YAML files near to one that does not exist: shipped ones, and those in its folder."""
    shipped = (p.relative_to(f.parent) for f in experiment_folders() for p in f.rglob("*.yaml"))
    beside = path.parent.glob("*.yaml")
    known = [*{file.as_posix(): None for file in (*shipped, *beside)}]
    same = [name for name in known if Path(name).name == path.name]
    return (same or get_close_matches(path.as_posix(), known, n=3, cutoff=0.8))[:3]


def experiment_folders() -> list[Path]:
    """Folders with the shipped configs: in the wheel, and beside the package in a checkout."""
    package = Path(str(files("sketchclip")))
    return [f for f in (package / "experiments", package.parent / "experiments") if f.is_dir()]


@runtime_checkable
class ChecksLayers(Protocol):
    """Parser that is told of every config before it is applied."""

    def check_layer(self, path: Path, content: dict[str, Any]) -> None:
        """Raise SketchClipError for what the parser cannot apply."""


class LayeredConfig(ActionConfigFile):
    """``--config`` that applies the file named by ``extends`` first, relative to the config."""

    @staticmethod
    def apply_config(
        parser: ArgumentParser, cfg: Namespace, dest: str, value: str, *args: Any, **kwargs: Any
    ) -> None:
        """Apply a config on top of what it extends; ``value`` is its path as typed."""
        try:
            done = [Path(str(p)).resolve() for p in cfg.get(dest) or [] if p is not None]
            files = _layers(str(value), done)
            if isinstance(parser, ChecksLayers):
                for path in files:
                    parser.check_layer(path, read_settings(path))
        except SketchClipError as error:
            # Leave here: argparse would bury the message under its usage text.
            print(f"sketchclip: error: {printable(error, lines=True)}", file=sys.stderr)
            raise SystemExit(2) from None
        for path in files:
            ActionConfigFile.apply_config(parser, cfg, dest, str(path), *args, **kwargs)


def _layers(value: str, done: Sequence[Path], above: Sequence[Path] = ()) -> list[Path]:
    """List a config behind those that it builds on, as far as they were not applied before."""
    path = find_config(value)
    content = read_settings(path)
    if not content:
        raise SketchClipError(f"{path} is empty. Expected a mapping of settings.")
    base = base_of(path, content, above)
    # Applied once: under two configs it must not undo what the first one changed.
    below = (
        [] if base is None or base.resolve() in done else _layers(str(base), done, [*above, path])
    )
    return [*below, path]


def consumed(_: str | None) -> None:
    """Type of the ``extends`` option: by now the file has been applied, so nothing is left."""
