"""Settings: configs, ablation grids, options; what is accepted must show in what would run."""

import io
import json
import math
import shlex
from contextlib import redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import yaml

from sketchclip.cli import main
from sketchclip.runs.ablation_grid import read_grid
from sketchclip.runs.reading import flat_settings
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import VALUES, mutate_bytes, mutate_tree, reencode
from tools.campaigns.observe import WrongResultError

_CONFIG = {
    "extends": "base.yaml",
    "seed_everything": 3,
    "trainer": {"max_epochs": 2, "logger": {"class_path": "sketchclip.loggers.RunFiles"}},
    "model": {
        "class_path": "sketchclip.methods.ZeroShotPromptLearning",
        "init_args": {"backbone": "sketchclip-mini", "prompt_lr": 0.004, "lambda_cls": 0.0},
    },
    "data": {
        "class_path": "SketchPhotoFolder",
        "init_args": {"split": "random:3:0", "batch_size": 4, "num_workers": 0},
    },
}
_BASE = "trainer:\n  log_every_n_steps: 7\n"
_GRID = {
    "checkpoint": "last",
    "cells": {
        "ours": {"config": "own.yaml", "model.lambda_cls": 0.5, "data.batch_size": 4},
        "frozen": {"config": ["own.yaml"], "train": False},
        "again": {"checkpoint_of": "ours", "data.split": "random:3:1", "seeds": [5]},
    },
}


def _text(tree: Any, chance: Random) -> tuple[bytes, str]:
    """A tree as YAML after a change of a value, of the text or of its encoding."""
    kind = chance.random()
    if kind < 0.6:
        changed, done = mutate_tree(tree, chance)
        return yaml.safe_dump(changed, allow_unicode=True, sort_keys=False).encode(), done
    text = yaml.safe_dump(tree, sort_keys=False)
    if kind < 0.75:
        lines = text.splitlines()
        row = chance.randrange(len(lines))
        indent = " " * (len(lines[row]) - len(lines[row].lstrip()))
        add, done = chance.choice(
            (
                (lines[row], "a line twice"),
                (f"{indent}\tx: 1", "a tab"),
                (f"{indent}<<: *a", "an unknown anchor"),
                (f"{indent}x: !!python/object/apply:os.getcwd []", "a tag of Python"),
                (f"{indent}? [a, b]\n{indent}: 1", "a list as a key"),
                (f"{indent}x: &a [*a]", "an anchor within itself"),
                ("---", "a second document"),
                ("\x07", "a control character"),
            )
        )
        return "\n".join([*lines[: row + 1], add, *lines[row + 1 :]]).encode() + b"\n", done
    return mutate_bytes(text.encode(), chance) if kind < 0.95 else reencode(text, chance)


def _has_twins(node: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a mapping of a YAML tree of nodes has a key twice."""
    if not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) or id(node) in seen:
        return False
    seen |= {id(node)}
    if isinstance(node, yaml.SequenceNode):
        return any(_has_twins(child, seen) for child in node.value)
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    return len({*keys}) < len(keys) or any(_has_twins(child, seen) for _, child in node.value)


def _check_text(content: bytes) -> Any:
    try:
        text = content.decode()  # what the product says that it reads
        found = yaml.safe_load(text)
        twins = _has_twins(yaml.compose(text, yaml.SafeLoader))
    except Exception as error:
        raise WrongResultError(f"accepted, and it is no YAML: {type(error).__name__}") from error
    if twins:
        raise WrongResultError("accepted with a key twice")
    return found


_NAMED = ("key", "option", "does not exist")  # with the key, the option, the other file


def config(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """A config of a training, up to the settings that would run."""
    data, done = _text(json.loads(json.dumps(_CONFIG)), chance)
    path = scratch / "own.yaml"
    (scratch / "base.yaml").write_text(_BASE)
    args = ["fit", "--config", str(path), "--data.root", str(fixtures.data), "--print_config"]

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                main(args)
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        given = flat_settings(_check_text(content) or {})
        shown = flat_settings(yaml.safe_load(printed.getvalue()))
        for name in ("seed_everything", "trainer.max_epochs", "model.prompt_lr", "data.batch_size"):
            value = given.get(name)
            if type(value) in (int, float) and not _equal(shown.get(name), value):
                raise WrongResultError(f"{name} is {value}, and {shown.get(name)} would run")

    return Case(done, data, attempt, (path.name, *_NAMED, *_words(done)))


def _words(done: str) -> tuple[str, ...]:
    """Names of settings in what was changed: a refusal may name the option alone."""
    return tuple(part for part in done.partition(" ")[0].split(".") if len(part) > 3)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, float) and math.isnan(other):
        return math.isnan(one)
    return bool(one == (float(other) if isinstance(one, float) else other))


def grid(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """An ablation grid, up to the commands of its runs."""
    data, done = _text(json.loads(json.dumps(_GRID)), chance)
    path = scratch / "grid.yaml"
    (scratch / "own.yaml").write_text("extends: base.yaml\n")
    (scratch / "base.yaml").write_text(_BASE)

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        main(["ablate", str(path), "--commands", "--seeds", "0,1", "--output", str(scratch / "o")])
        cells = _check_text(content)["cells"]
        runs = read_grid(str(path), [0, 1])
        for run in runs:
            run.options()
            inside = (scratch / "o").resolve()
            if not run.folder(scratch / "o").resolve().is_relative_to(inside):
                raise WrongResultError(f"the run {run.name} lies outside the output")
        if {run.name for run in runs} - {str(name) for name in cells}:
            raise WrongResultError("runs that the grid does not have")

    return Case(done, data, attempt, (path.name, *_words(done)))


_OPTIONS = {
    "evaluate": "--similarity --map_k --precision_k --accuracy_k --sketches --targets --out",
    "compare": "--metric --samples --seed",
    "table": "--against -o --order --cost",
    "ablate": "--seeds --jobs --config --cells --output",
    "search": "--index -k --class-filter --text --text-weight --save --model --device",
    "index": "-o --model --backbone --pretrained --drop --readers --device",
    "export": "--to --license --backbone --pretrained --queries",
    "show": "--baseline --pick -n -o --root --labels --seed",
    "data": "--size --resize --interpolation --out --dataset --split --workers",
}
_TYPED = (
    "",
    "0",
    "-1",
    "1e9",
    "99999999999999999999",
    "nan",
    "x",
    "é",
    "no/such",
    "a\tb",
    "\u202e",
)


def options(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """Options of the commands with values that people type by mistake."""
    command = chance.choice(sorted(_OPTIONS))
    first = {"compare": [str(fixtures.run / "test")] * 2, "table": [str(fixtures.run)]}
    first |= {"show": [str(fixtures.run)], "data": ["check", str(fixtures.data)]}
    args = [command, *first.get(command, [])]
    for option in chance.sample(_OPTIONS[command].split(), k=chance.choice((1, 1, 2))):
        typed = chance.choice((*_TYPED, str(chance.choice(VALUES))[:99]))
        args += [option, *([typed.replace("\0", "")] if chance.random() < 0.9 else [])]
    args += ["-o", str(scratch / "out.png")] if command == "show" and "-o" not in args else []

    def attempt(content: bytes) -> None:
        line = json.loads(content)
        try:
            main(line)
        except SystemExit as end:
            if line[:2] != ["data", "check"] or end.code != 1:  # its status for findings
                raise

    return Case(shlex.join(args), json.dumps(args).encode(), attempt)


MAKERS: dict[str, Maker] = {"config": config, "grid": grid, "options": options}
