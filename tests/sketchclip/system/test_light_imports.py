"""What a command loads: not what only others need."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sketchclip.runs.results import write_results

HEAVY = ("scipy.signal", "scipy.stats", "matplotlib", "cv2", "albumentations", "transformers")
SHOW = """
import contextlib, io, sys
from sketchclip.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(*[name for name in sys.modules if not name.startswith("torch.")])
import scipy.signal, torchvision, torchmetrics
assert scipy.signal.windows.hann(3)[1] == 1 and torchvision.transforms.Resize(3).size == 3
"""


def loaded(*args: str) -> set[str]:
    """Modules that a command has loaded."""
    command = [sys.executable, "-c", SHOW, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {*done.stdout.split()}


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_a_command_loads_what_it_needs(command, tmp_path):
    for side in "qg":
        np.savez(tmp_path / f"{side}.npz", state=np.eye(3, dtype=np.float32), label=np.arange(3))
    given = {
        "fit": ["--config", str(Path("experiments/doodles.yaml")), "--print_config"],
        "evaluate": ["--sketches", str(tmp_path / "q.npz"), "--photos", str(tmp_path / "g.npz")],
    }
    found = loaded(command, *given[command])
    assert "torchmetrics" in found
    assert not {*HEAVY} & found
    methods = {name for name in found if name.startswith("sketchclip.methods.")}
    assert "sketchclip.methods.later.splip" not in methods
    assert ("sketchclip.methods.zero_shot" in methods) == (command == "fit")
    assert ("lightning" in found) == (command == "fit")
    if command == "evaluate":
        assert not {"open_clip", "timm", "torchvision"} & found


NAMES = """
import contextlib, io, sys
from sketchclip.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    for kind in ("methods", "datasets", "experiments", "backbones"):
        assert len(main(["list", kind])) > 5, kind
    assert main(["list", "runs", "--root", sys.argv[1]])[0]["method"] == "SAKE"
    assert "SAKE" in main(["completion", "words", "fit", "--model", ""])
print(*sys.modules)
"""


def test_names_are_listed_and_completed_without_pytorch(tmp_path):
    values = {"mAP@all": np.array([0.5])}
    summary = {"metrics": {"mAP@all": 0.5}, "classes": {}, "method": "SAKE"}
    write_results(tmp_path, summary, values, np.arange(1), ["a"], ["cat"])
    command = [sys.executable, "-c", NAMES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {*done.stdout.split()}
    assert not {"torch", "lightning", "open_clip", "timm", *HEAVY} & found
