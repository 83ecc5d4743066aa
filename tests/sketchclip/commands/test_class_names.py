"""Bare class names are found wherever a config names them."""

import json
import subprocess
import sys

import pytest

SHOW = """
import sys
from sketchclip.commands.settings.class_names import load_named
load_named(sys.argv[1:])
print(*[name for name in sys.modules if name.startswith("sketchclip.methods.")])
"""
CONFIGS = {
    "plain": ("model:\n  class_path: IIAE\n", None),
    "flow": ("{model: {class_path: IIAE}}", None),
    "extends": ("extends: base.yaml\n", "model: IIAE\n"),
    "extends in JSON": (json.dumps({"extends": "base.yaml"}), "model: IIAE\n"),
    "a value in a file": ("model: base.yaml\n", "class_path: IIAE\n"),
    "a part in a file": ("model: {init_args: {x: [base.yaml]}}\n", "class_path: IIAE\n"),
}


def loaded(*args: str) -> set[str]:
    """Modules of methods that are loaded for a command."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *args], capture_output=True, text=True, check=True
    )
    return {name.removeprefix("sketchclip.methods.") for name in done.stdout.split()}


# A process each, which imports PyTorch.
@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("extends", "a part in a file")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in CONFIGS
    ],
)
def test_a_class_is_loaded_wherever_it_is_named(name, tmp_path):
    text, base = CONFIGS[name]
    (tmp_path / "own.cfg").write_text(text)
    if base is not None:
        (tmp_path / "base.yaml").write_text(base)
    found = loaded("fit", "--config", str(tmp_path / "own.cfg"))
    assert "earlier.iiae" in found
    assert "later.splip" not in found


@pytest.mark.slow
def test_what_cannot_be_read_loads_all(tmp_path):
    (tmp_path / "own.yaml").write_text("extends: [\n")
    assert {"earlier.iiae", "later.splip"} <= loaded("fit", f"--config={tmp_path / 'own.yaml'}")
