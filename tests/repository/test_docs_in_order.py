"""The pages that a newcomer reads, one after the other in one folder, as the navigation has them."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sketchclip.cli import main
from tests.repository.test_docs import DOCS, README, commands

# Pages of the navigation that begin from what those before them left.
PAGES = ("tour", "data", "evaluation", "figures", "search", "demo", "cli", "publish", "python")
FEW = ("--trainer.limit_train_batches", "1", "--grids.queries", "0")
# Datasets and accounts that nobody has here, programs beside ours, and pages that wait for a browser.
ELSEWHERE = re.compile(
    r"Sketchy|TUBerlin|QuickDraw|ViT-B-32|s3://|hf://|^hf |^pip |^make |^source |^python |ablate|"
    r"^sketchclip demo|runs/(embedded|scarcity|main|ablations|x)/|/mnt/|~/Scans|logger=wandb|--onnx"
)


def in_reach(page):
    """Commands of a page that can run here."""
    for line in commands(page):
        if not ELSEWHERE.search(line):
            yield line


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_tree):
    """A folder with the files that the pages name, below a home of its own."""
    home = tmp_path_factory.mktemp("home")
    tree = make_tree(home / "tree", classes=12)
    classes = sorted(path.name for path in (tree / "photo").iterdir())
    (home / "unseen.txt").write_text("\n".join(classes[:4]))
    (home / "Pictures").symlink_to(tree / "photo")
    sketch = next(tree.rglob("sketch/*/*.png"))
    shutil.copy(sketch, home / "cat.png")
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1L8 8"/></svg>'
    (home / "cat.svg").write_text(drawing)
    return home, tree


@pytest.mark.slow
def test_the_pages_run_in_the_order_of_the_navigation(place, monkeypatch, capsys):
    home, tree = place
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    ran: dict[str, int] = {}
    for page in (README, *(DOCS / f"{name}.md" for name in PAGES)):
        for line in in_reach(page):
            program, *args = shlex.split(line.replace("/path/to/data", str(tree)))
            args = [arg.replace("~", str(home)) for arg in args]
            assert program == "sketchclip", line
            few = FEW if args[0] == "fit" and "--help" not in args else ()
            try:
                main([*args, *few])
            except SystemExit as stop:
                assert not stop.code, f"{page.name}: {line}\n{capsys.readouterr().err}"
            ran[page.name] = ran.get(page.name, 0) + 1
    assert ran["README.md"] >= 5
    assert ran["tour.md"] >= 6
    assert Path("improved.png").is_file()
    assert {"data.md", "evaluation.md", "search.md", "cli.md", "publish.md"} <= ran.keys()
