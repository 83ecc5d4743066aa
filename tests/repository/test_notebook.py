"""The notebook of the documentation: its commands exist, its outputs are kept, and it runs."""

import ast
import base64
import io
import json
import re

import pytest
from PIL import Image

from sketchclip.cli import main
from tests.helpers.paths import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "notebooks" / "first_steps.ipynb"
TRAINED = ("fit", "test")


def read(text):
    return [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def cells():
    return read(NOTEBOOK.read_text("utf-8"))


def commands(cells):
    """Arguments of every call of ``main``; each is a list of literals."""

    def text(node):
        if isinstance(node, ast.Starred):
            return [word for item in node.value.elts for word in text(item)]
        return [ast.literal_eval(node)]

    trees = [ast.parse("".join(cell["source"])) for cell in cells]
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = [call for call in calls if getattr(call.func, "id", "") == "main"]
    return [[word for item in call.args[0].elts for word in text(item)] for call in named]


def printed(cells):
    streams = (out for cell in cells for out in cell["outputs"])
    shown = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in streams]
    return re.sub(r"\x1b\[\d*m", "", "\n".join("".join(lines) for lines in shown))


def test_every_command_parses(cells, monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    lines = commands(cells)
    assert {line[0] for line in lines} == {*TRAINED, "compare", "show", "data", "index"}
    for line in lines:
        if line == ["test"]:  # the last run, which has yet to be made
            continue
        if line[0] in TRAINED:
            with pytest.raises(SystemExit) as stop:
                main([*line, "--print_config"])
            assert not stop.value.code, line
            continue
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*line[: 2 if line[0] == "data" else 1], "--help"])
        options = capsys.readouterr().out
        assert not stop.value.code, line
        assert [w for w in line if w.startswith("-") and f"{w} " not in options] == [], line


def test_its_outputs_are_those_of_one_run_and_small(cells):
    numbers = [cell["execution_count"] for cell in cells]
    assert numbers == [*range(1, len(cells) + 1)]
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert "error" not in {out["output_type"] for out in outputs}
    assert [out["text"] for out in outputs if "Traceback" in str(out.get("text"))] == []
    pictures = [out["data"]["image/png"] for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 3
    for picture in pictures:
        content = base64.b64decode("".join(picture))
        assert len(content) < 80_000
        assert Image.open(io.BytesIO(content)).width >= 500
    assert NOTEBOOK.stat().st_size < 400_000
    text = printed(cells)
    assert "1,280 sketches, 128 photos, 64 unseen classes" in text
    assert not re.findall(r"/(?:tmp|home|root|work|Users)/\S*", NOTEBOOK.read_text("utf-8"))


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(cells, tmp_path, monkeypatch):
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    from tools.execute_notebook import executed

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    again = read(json.dumps(executed(tmp_path)))
    kinds = [
        [{out["output_type"] for out in cell["outputs"]} for cell in x] for x in (again, cells)
    ]
    assert kinds[0] == kinds[1]
    # mAP@all of the frozen and of the adapted model on Doodles, as kept.
    figures = [
        [float(value) for value in re.findall(r"│ mAP@all +│ ([\d.]+) │ ([\d.]+) │", printed(x))[0]]
        for x in (again, cells)
    ]
    assert figures[0] == pytest.approx(figures[1], abs=0.01)
    assert (tmp_path / "first_steps" / "runs" / "own_data" / "version_0" / "test").is_dir()
