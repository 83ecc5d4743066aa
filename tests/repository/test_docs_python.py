"""The Python of python.md, search.md and publish.md in docs/ runs, on files named as there."""

import os

import pytest

from sketchclip.cli import main
from tests.repository.test_docs import REPOSITORY, blocks


@pytest.fixture
def photos(tree, tmp_path, monkeypatch):
    """A folder with the files that the snippets name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(tree / "photo")
    first, second = sorted(tree.rglob("photo/*/*.png"))[:2]
    named = {"sketch.png": next(tree.rglob("sketch/*/*.png"))}
    for name, source in {**named, "first.jpg": first, "second.jpg": second}.items():
        os.link(source, tmp_path / name)
    return tmp_path


def run_python(page, names, capsys):
    """Run the Python blocks of a page one after the other; returns what they print."""
    snippets = [b.text for b in blocks(REPOSITORY / "docs" / page) if b.language == "python"]
    assert snippets
    capsys.readouterr()
    for snippet in snippets:
        exec(compile(snippet, page, "exec"), names)
    return capsys.readouterr().out


def test_the_python_page_runs(photos, capsys):
    names: dict = {}
    printed = run_python("python.md", names, capsys)
    assert names["photos"].shape == (2, names["model"].dim)
    first = [line.split(maxsplit=2) for line in printed.splitlines()[:10]]
    assert [int(rank) for rank, _, _ in first] == [*range(1, 11)]
    assert all(photos.joinpath(path).is_file() for _, _, path in first)
    assert len(names["index"]) == len([*photos.glob("photos/*/*.png")])
    page = (REPOSITORY / "docs" / "python.md").read_text("utf-8")
    shown = page.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in shown.splitlines() if line]) <= 10


def test_the_page_on_search_runs(photos, capsys):
    names: dict = {}
    printed = run_python("search.md", names, capsys)
    assert len(names["hits"]) == 10
    assert [line.split()[0] for line in printed.splitlines()] == [str(n) for n in range(1, 11)]


@pytest.mark.slow
def test_the_page_on_sharing_runs(photos, capsys):
    main(["export", "frozen", "--backbone", "sketchclip-mini", "--to", "my-model", "--onnx"])
    names: dict = {}
    run_python("publish.md", names, capsys)
    model, scores = names["model"], names["scores"]
    expected = model.sketches(["sketch.png"]) @ model.photos(["first.jpg", "second.jpg"]).T
    assert names["size"] == model.preprocessing.size
    assert abs(scores - expected).max() < 0.02  # Pillow resizes a little differently
