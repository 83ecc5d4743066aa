"""YAML of configs and grids: one loader, which loses nothing and says what is wrong."""

import re

import pytest

from sketchclip.config import LayeredConfig, read_settings, read_yaml
from sketchclip.errors import SketchClipError
from sketchclip.runs.ablation_grid import read_grid

TWICE = r"'trainer' stands in lines 1 and 3 of one mapping"
# Content of a.yaml, beside which c.yaml is a config and b.yaml extends a.yaml.
BAD = {
    "twice": ("trainer:\n  a: 1\ntrainer:\n  b: 2\n", TWICE),
    "twice, quoted": ("trainer: {}\n\n'trainer': {}\n", TWICE),
    "twice, deep": ("a:\n  b:\n  - {c: 1, d: 2,\n     c: 3}\n", r"'c' stands in lines 3 and 4"),
    "twice beside a merge": ("x: &x {a: 1}\ny: {<<: *x, b: 1, b: 2}\n", r"'b' stands in lines 2"),
    "itself": ("extends: a.yaml\n", r"a\.yaml extends \S*a\.yaml: a file cannot build on itself"),
    "circle": ("extends: b.yaml\n", r"a\.yaml extends \S*b\.yaml extends \S*a\.yaml:"),
    "no base": ("extends:\ntrainer: {}\n", r"extends: expected the name of one file, found null"),
    "list of bases": ("extends: [c.yaml]\n", r"extends: expected the name of one file"),
    "tab": ("trainer:\n\ta: 1\n", r"is no YAML: lines are indented by spaces, not by tabs"),
    "latin": (b"a: caf\xe9\n", r"no text in UTF-8.*Save it as UTF-8"),
    "UTF-16": ("a: 1\n".encode("utf-16"), r"no text in UTF-8"),
    "binary": (bytes(range(256)), r"is no YAML"),
    "empty": ("", r"a\.yaml is empty"),
    "list": ("- a\n", r"expected a mapping"),
    "no date": ("a: 2020-13-45\n", r"is no YAML: month"),
    "deep": ("[" * 4000, r"is no YAML"),
    "anchor within itself": ("a: 1\nb: &b [*b]\n", r"a\.yaml: line 2: \*b stands within &b"),
    "character 0": ('a: 1\nb: "x\\0"\n', r"a\.yaml: line 2: a text with the character 0"),
    "two documents": ("a: 1\n---\na: 2\n", r"expected a single document"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    (tmp_path / "c.yaml").write_text("trainer: {max_epochs: 1}\n")
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_is_one_message(folder, name, capsys):
    content, said = BAD[name]
    path = folder / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit) as stopped:
        LayeredConfig.apply_config(None, {}, "config", str(path))  # type: ignore[arg-type]
    message = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message.startswith("sketchclip: error: ")
    assert re.search(f"(?s){said}", message), message


def test_a_folder_is_no_config(folder):
    with pytest.raises(SketchClipError, match="is a folder"):
        read_yaml(folder)
    with pytest.raises(SketchClipError, match="is a folder"):
        read_grid(str(folder), [0])


def test_what_is_merged_may_be_set_anew(folder):
    path = folder / "a.yaml"
    text = "\ufeffx: &x {a: 1, b: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: [*y, *x], a: 3}\nw: {<<: *y}\n"
    path.write_text(text, "utf-8")
    content = read_settings(path)
    assert content["y"] == {"a": 1, "b": 2}
    assert content["z"] == {"a": 3, "b": 2}
    assert content["w"] == {"a": 1, "b": 2}


GRIDS = {
    "tab": ("cells:\n\ta: c.yaml\n", r"is no YAML"),
    "empty": ("", r"expected a grid of runs"),
    "no cell": ("cells: {}\n", r"at least one run"),
    "list": ("cells: [c.yaml]\n", r"expected a grid of runs"),
    "twice": ("cells:\n  a: c.yaml\n  a: c.yaml\n", r"'a' stands in lines 2 and 3"),
    "number": ("cells: {1: c.yaml}\n", r'Put it into quotes: "1"'),
    "boolean": ("cells: {on: c.yaml}\n", r'Put it into quotes: "on"'),
    "null": ("cells: {null: c.yaml}\n", r'Put it into quotes: "null"'),
    "way out": ("cells: {../a: c.yaml}\n", r"'\.\./a' names a folder"),
    "dots": ("cells: {..: c.yaml}\n", r"'\.\.' names a folder"),
    "no config": ("cells: {a: }\n", r"a: config: expected the path of a YAML file, found None"),
    "config 5": ("cells: {a: [c.yaml, 5]}\n", r"a: config: expected the path .* found 5"),
    "config, long": (f"cells: {{a: {'x' * 5000}}}\n", r"a: config: x+ does not exist"),
    "config elsewhere": (
        "cells: {a: x/n.yaml}\n",
        r"a: config: x/n\.yaml does not exist: /\S*/x/n\.yaml\. Paths in a grid are relative to",
    ),
    "extends nothing": ("cells: {a: c.yaml}\nextends: n.yaml\n", r"extends: n\.yaml does .*: /"),
    "config folder": ("cells: {a: .}\n", r"a: config: \. is a folder"),
    "configs 5": ("cells: {a: c.yaml}\nconfigs: 5\n", r"configs: expected the path"),
    "seeds": ("cells: {a: {config: c.yaml, seeds: x}}\n", r"a: seeds: expected whole numbers"),
    "seed twice": (
        "cells: {a: {config: c.yaml, seeds: [0, 1, 0]}}\n",
        r"each once, found \[0, 1, 0\]",
    ),
    "seed true": ("cells: {a: {config: c.yaml, seeds: [true]}}\n", r"seeds: expected whole"),
    "train": ("cells: {a: {config: c.yaml, train: 'no'}}\n", r"train: expected true or false"),
    "base": ("cells: {a: {checkpoint_of: [b]}}\n", r"checkpoint_of: expected a name"),
    "setting": ("cells: {a: {config: c.yaml, 3: 4}}\n", r"expected settings by dotted name"),
    "date": ("cells: {a: {config: c.yaml, x: 2020-01-01}}\n", r"A date is a text"),
    "checkpoint": ("cells: {a: c.yaml}\ncheckpoint: [1]\n", r"expected last or best"),
    "itself": ("cells: {a: c.yaml}\nextends: a.yaml\n", r"cannot build on itself"),
    "extends 5": ("cells: {a: c.yaml}\nextends: 5\n", r"expected the name of one file"),
    "binary": (bytes(range(256)), r"is no YAML"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_bad_grid_is_one_message(folder, name):
    content, said = GRIDS[name]
    path = folder / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SketchClipError, match=f"(?s){said}"):
        read_grid(str(path), [0])


def test_the_hash_of_a_run_ends_where_configs_extend_each_other(folder):
    (folder / "a.yaml").write_text("extends: b.yaml\n")
    (folder / "grid.yaml").write_text("cells: {a: a.yaml}\n")
    with pytest.raises(SketchClipError, match="cannot build on itself"):
        read_grid(str(folder / "grid.yaml"), [0])[0].settings_hash()


def test_a_default_of_an_enumeration_is_written_as_its_value():
    from jsonargparse import ArgumentParser
    from lightning.pytorch.callbacks import Timer

    parser = ArgumentParser()
    parser.add_class_arguments(Timer, "timer")
    assert "interval: step" in parser.dump(parser.parse_args(["--timer.duration", "00:00:01:00"]))
