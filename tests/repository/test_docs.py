"""The documentation's commands run: the two guides as a whole, README's configs one by one."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from tests.helpers.paths import REPOSITORY
from tools import what_runs
from tools.readme_table import RESULTS, rewritten

GUIDES = [
    REPOSITORY / "docs" / f"add-a-{thing}.md"
    for thing in ("dataset", "method", "metric", "command")
]
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
PAGES += [page for part in ("earlier", "later") for page in sorted((DOCS / part).glob("*.md"))]
COMMANDS = (
    *("fit", "validate", "test", "predict", "evaluate", "compare", "ablate", "table", "plot"),
    *("show", "export", "list", "data", "quickstart", "index", "search", "demo", "completion"),
)
PACKAGES = ("sketchclip", "data_modules", "experiments")
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# One process for all commands of the guide: importing PyTorch is most of the time of a command.
# Each runs in it as the console script would run it, with its output in a file of its own.
DRIVER = """
import os, runpy, shlex, sys, traceback
from pathlib import Path

sys.path.insert(0, ".")  # PYTHONPATH=.
for number, line in enumerate(Path("commands.txt").read_text().splitlines()):
    program, *args = shlex.split(line)
    status, out = 0, os.open(f"out-{number}.txt", os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):  # the files, not sys.stdout: handlers of loggers outlive a command
        os.dup2(out, stream)
    try:
        if program == "python" and args[0] == "-m":
            sys.argv = args[1:]
            runpy.run_module(args[1], run_name="__main__", alter_sys=True)
        elif program == "python":
            sys.argv = args
            runpy.run_path(args[0], run_name="__main__")
        else:
            from sketchclip.cli import main
            sys.argv = [program, *args]
            main()
    except SystemExit as stop:
        status = stop.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    Path(f"status-{number}.txt").write_text(str(status))
"""


@dataclass
class Block:
    """A fenced block: its language, file name and text, and the second-level heading above it."""

    language: str
    title: str | None
    text: str
    section: str


def blocks(page):
    text = page.read_text("utf-8")
    headings = [(m.start(), m[1]) for m in re.finditer(r"^## (.+)$", text, re.MULTILINE)]
    return [
        Block(m[1], m[2], m[3], next((h for at, h in reversed(headings) if at < m.start()), ""))
        for m in FENCE.finditer(text)
    ]


def commands(page, section=None):
    """Commands of the console blocks, without the prompt and leading environment variables."""
    for block in blocks(page):
        if block.language == "console" and section in (None, block.section):
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.startswith("$ "):
                    yield re.sub(r"^(\w+=\S+ )+", "", line[2:].partition("  #")[0].strip())


def apply(block, root):
    """Write a new file, or apply the hunks of a diff to one that is there."""
    target = root / block.title
    if block.language != "diff":
        assert not target.exists(), f"{block.title} exists already; the page should show a diff"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, "utf-8")
        return
    text = target.read_text("utf-8")
    for hunk in re.split(r"^@@.*\n", block.text, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{block.title} no longer holds these lines once:\n{old}"
        text = text.replace(old, new)
    target.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The guide applied to a copy of the packages, and the outcome of its commands."""
    root = tmp_path_factory.mktemp("guide")
    for package in PACKAGES:
        shutil.copytree(
            REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for block in (block for guide in GUIDES for block in blocks(guide)):
        if block.title:
            apply(block, root)
    lines = [line for guide in GUIDES for line in commands(guide)]
    (root / "commands.txt").write_text("\n".join(lines), "utf-8")
    (root / "driver.py").write_text(DRIVER, "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "CUDA_VISIBLE_DEVICES": "",
        "SKETCHCLIP_CACHE": str(root / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run([sys.executable, "driver.py"], cwd=root, env=environment, check=True)
    return root, {
        line: ((root / f"status-{n}.txt").read_text(), (root / f"out-{n}.txt").read_text())
        for n, line in enumerate(lines)
    }


def test_the_guide_runs(followed):
    root, outcomes = followed
    for command, (status, output) in outcomes.items():
        assert status == "0", f"{command}\n{output}"
    tested = [o for command, (_, o) in outcomes.items() if command.startswith("sketchclip test")]
    methods = ("ZeroShotPromptLearning", "LinearHead", "EuclideanCLIP", "ZeroShotPromptLearning")
    assert "MRR" in tested[-1]
    for method, output in zip(methods, tested, strict=True):
        assert f"{method} on DomainNet" in output
        assert "mAP@all" in output
    results = [json.loads(path.read_text()) for path in root.glob("runs/*/*/**/metrics.json")]
    assert {result["method"] for result in results} == set(methods)
    for result in results:
        assert result["dataset"] == "DomainNet"
        assert (result["queries"], result["gallery"]) == (112, 112)  # 28 classes, 4 of each
        assert set(result["metrics"]) >= {"mAP@all", "P@100", "chance_mAP@all", "MRR"}
        assert "mAP@200" not in result["metrics"]  # of 112 photos it is mAP@all
    (hardest,) = (output for command, (_, output) in outcomes.items() if "hardest runs" in command)
    assert len(re.findall(r"^0\.\d{3}  \w+$", hardest, re.MULTILINE)) == 3


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.stem)
def test_an_extension_touches_at_most_four_files(guide):
    sections = ("Add a dataset", "Add a method", "Add a metric", "Add a command")
    touched = {b.title for b in blocks(guide) if b.section in sections and b.title}
    touched = {name for name in touched if not name.startswith("draw_")}  # makes the images
    assert 2 <= len(touched) <= 4, touched


def configs():
    """Every shipped config that README or a page names in a command."""
    named = {
        name
        for page in PAGES
        for name in re.findall(r"--config (experiments/\w+\.yaml)", page.read_text("utf-8"))
    }
    return sorted(named & {f"experiments/{p.name}" for p in REPOSITORY.glob("experiments/*.yaml")})


@pytest.mark.parametrize("config", configs())
def test_a_shown_config_parses(config, monkeypatch, capsys):
    from sketchclip.cli import main

    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", config, "--print_config"])
    assert not stop.value.code
    printed = capsys.readouterr().out
    assert "class_path: sketchclip.methods" in printed
    assert "class_path: data_modules" in printed


def test_help_answers_without_pytorch():
    code = (
        "import sys; from sketchclip.cli import main; main(['--help']); "
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_files_that_exist(page):
    text = page.read_text("utf-8")
    added = re.findall(r'^\+ +"(\w+)": "', text, re.MULTILINE)
    known = {*COMMANDS, *added, "--help", "--version"}
    for command in commands(page):
        program, *args = shlex.split(command)
        if program == "sketchclip":
            assert args[0] in known, command
        elif program == "make":
            makefile = (REPOSITORY / "Makefile").read_text("utf-8")
            for target in (a for a in args if "=" not in a):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), command
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_readme_shows_the_figures_that_are_kept():
    text, results = README.read_text("utf-8"), json.loads(RESULTS.read_text("utf-8"))
    assert rewritten(text, results) == text
    results["rows"]["frozen"]["mAP@all"]["mean"] += 0.1
    assert rewritten(text, results) != text


def test_readme_names_every_system_with_its_figures():
    text = README.read_text("utf-8")
    assert what_runs.rewritten(text) == text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if ".yaml` |" in line]
    found = {row[1].strip(" `") for row in rows}
    assert {"sketchy.yaml", "sketchy_fg.yaml", "baselines/b_ip.yaml", "later/marl.yaml"} <= found
    assert all((REPOSITORY / "experiments" / name).is_file() for name in found)
    assert what_runs.rewritten(text.replace("ZS-SAKE", "")) == text


def test_readme_python_runs(tree, monkeypatch, tmp_path):
    """README's Python snippet, on a small folder and for two batches."""
    import lightning.pytorch

    import data_modules

    class Small(data_modules.SketchPhotoFolder):
        def __init__(self):
            super().__init__(str(tree), split="random:2:0", num_workers=0, batch_size=8)

    class Short(lightning.pytorch.Trainer):
        def __init__(self, **settings):
            super().__init__(**settings, fast_dev_run=2, accelerator="cpu")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_modules, "Doodles", Small)
    monkeypatch.setattr(lightning.pytorch, "Trainer", Short)
    snippets = [b.text for b in blocks(README) if b.language == "python"]
    assert snippets
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the batches are tiny
    try:
        for snippet in snippets:
            exec(compile(snippet, "README.md", "exec"), {})
    finally:
        torch.set_num_threads(threads)


def test_the_adaptation_of_the_guide_trains(make_method):
    (snippet,) = (
        b.text for b in blocks(REPOSITORY / "docs" / "adaptations.md") if b.language == "python"
    )
    names: dict = {}
    exec(compile(snippet, "adaptations.md", "exec"), names)
    method = make_method(adaptation=names["Gate"](0.5), layer_norm="none")
    images = torch.randn(2, 3, 32, 32)
    embedding = method.embed(images, "sketch")
    with torch.no_grad():
        torch.testing.assert_close(embedding, 0.5 * method.clip.encode_image(images))
    embedding.sum().backward()
    assert [n for n, p in method.named_parameters() if p.grad is not None] == ["adaptation.factor"]
