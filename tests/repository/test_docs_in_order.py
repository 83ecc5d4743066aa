"""The pages that a newcomer reads, one after the other in one folder, in the navigation's order."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from sketchclip.cli import main
from tests.repository.test_docs import DOCS, README, commands

# Pages of the navigation that begin from what those before them left.
PAGES = ("tour", "data", "evaluation", "figures", "search", "demo", "cli", "publish", "python")
FEW = ("--trainer.limit_train_batches", "1", "--grids.queries", "0")
# Datasets and accounts that nobody has here, programs beside ours, and a page to draw on.
ELSEWHERE = re.compile(
    r"Sketchy|sketchy|TUBerlin|QuickDraw|ViT-B-32|s3://|hf://|^(hf|pip|make|source|python) |"
    r"ablate|^sketchclip demo|runs/(embedded|scarcity|main|ablations|x)/|/mnt/|~/Scans|"
    r"logger=wandb|--onnx"
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
    for name in classes:  # another arrangement beside it, which patterns describe
        (tree / name).mkdir()
        for number in range(3):
            for side, copy in (("sketch", f"{number}_sketch.png"), ("photo", f"{number}.png")):
                shutil.copy(tree / side / name / f"{number}.png", tree / name / copy)
    shutil.copytree(tree / "photo", home / "Pictures")
    (home / "Pictures" / classes[0]).rename(home / "Pictures" / "animals")
    sketch = next(tree.rglob("sketch/*/*.png"))
    shutil.copy(sketch, home / "cat.png")
    generator = np.random.default_rng(0)
    for side, count in (("q", 6), ("g", 9)):
        np.save(home / f"{side}.npy", generator.normal(size=(count, 4)).astype(np.float32))
        np.save(home / f"{side}l.npy", np.arange(count) % 3)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1L8 8"/></svg>'
    (home / "cat.svg").write_text(drawing)
    return home, tree


@pytest.mark.slow
def test_the_pages_run_in_the_order_of_the_navigation(place, monkeypatch, capsys):
    home, tree = place
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    ran, failed = dict[str, int](), list[str]()
    for page in (README, *(DOCS / f"{name}.md" for name in PAGES)):
        for line in in_reach(page):
            program, *args = shlex.split(line.replace("/path/to/data", str(tree)))
            args = [arg.replace("~", str(home)).replace("/fast/disk", str(home)) for arg in args]
            assert program == "sketchclip", line
            if args[0] == "index" and "~" in line and "--" not in line.replace("-o", ""):
                args += ["--backbone", "sketchclip-mini"]  # the usual one is a download
            few = FEW if args[0] == "fit" and not re.search("help|print_config", line) else ()
            try:
                main([*args, *few])
            except SystemExit as stop:
                if stop.code:
                    failed.append(f"{page.name}: {line}\n{capsys.readouterr().err[-300:]}")
            ran[page.name] = ran.get(page.name, 0) + 1
    assert not failed, "\n".join(failed)
    assert ran["README.md"] >= 5
    assert ran["tour.md"] >= 6
    assert Path("improved.png").is_file()
    assert {"data.md", "evaluation.md", "search.md", "cli.md", "publish.md"} <= ran.keys()
