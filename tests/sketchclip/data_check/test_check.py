"""``sketchclip data check`` and ``data prepare``: each problem is found, named and explained."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import data_modules
from data_modules.base import SketchPhotoDataModule
from data_modules.splits import split as splits
from sketchclip.cli import main
from tests.helpers.trees import LAYOUTS, build


@pytest.fixture
def check(capsys) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """``check(root, "--quick")`` -> exit status, the JSON, what is printed."""

    def run(root: Path, *options: str) -> tuple[int, dict[str, Any], str]:
        def status(*more: str) -> int:
            capsys.readouterr()
            try:
                main(["data", "check", str(root), "--workers", "1", *options, *more])
            except SystemExit as stopped:
                return int(stopped.code)
            return 0

        code = status("--json", "-")
        found = json.loads(capsys.readouterr().out)
        assert status() == code
        return code, found, capsys.readouterr().out

    return run


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(check for check in found["checks"] if check["name"] == name)


def names(found: dict[str, Any], check: str) -> list[str]:
    return [item["name"] for item in row(found, check)["items"]]


@pytest.fixture
def plain(tmp_path) -> Path:
    """Twelve classes of the user's own; two photos each, two sketches of each photo."""
    classes = [f"{first}{second}" for first in "bdfg" for second in ("ak", "ol", "um")]
    root = build("folder", tmp_path / "data", classes, sketches=4, photos=2)
    rng = np.random.default_rng(0)
    for path in sorted(root.glob("*/*/*")):  # no two alike
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)).save(path)
    return root


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognized_and_counted(name, tmp_path, check):
    tree = LAYOUTS[name]
    root = build(name, tmp_path / "data")
    options = [word for key, value in tree.arguments.items() for word in (f"--{key}", value)]
    code, found, _ = check(root, *options)
    assert found["dataset"] == tree.dataset
    assert code == (0 if tree.dataset == "SketchPhotoFolder" else 1)  # the others lack classes
    data: SketchPhotoDataModule = getattr(data_modules, tree.dataset)(str(root), **tree.arguments)
    sketches, photos = data.catalogue.files.listing
    assert found["counts"]["all"]["classes"] == len(sketches)
    assert found["counts"]["all"]["sketches"] == sum(map(len, sketches.values()))
    assert found["counts"]["all"]["photos"] == sum(map(len, photos.values()))
    assert found["fit"].startswith("sketchclip fit --config experiments/")
    assert not row(found, "unreadable")["items"]


def test_clean_data_is_ready(plain, check):
    code, found, text = check(plain)
    assert code == 0
    assert found["ready"]
    assert {c["status"] for c in found["checks"]} == {"ok"}
    assert found["counts"]["all"] == {"classes": 12, "sketches": 48, "photos": 24, "pairs": 48}
    assert found["counts"]["unseen"]["classes"] == 5  # of own_data.yaml
    assert text.splitlines()[-1] == found["fit"]
    assert "Ready: 0 errors, 0 warnings" in text


def test_the_printed_command_works(plain, check, options):
    (plain / "photo" / "bak" / "0.jpg").write_bytes(b"no image")
    _, found, _ = check(plain)
    words = shlex.split(found["fit"])
    assert words[-2:] == ["--data.on_error", "skip"]
    cli = main([*words[1:], *options, "--trainer.fast_dev_run", "1"])
    assert cli.trainer.state.finished


def empty_class(root: Path) -> Path:
    (root / "photo" / "unicorn").mkdir()
    return root / "photo" / "unicorn"


def same_name(root: Path) -> Path:
    shutil.copytree(root / "photo" / "bak", root / "photo" / "Bak")
    return root / "photo" / "Bak"


def truncated(root: Path) -> Path:
    path = root / "sketch" / "bak" / "0-1.png"
    path.write_bytes(path.read_bytes()[:60])
    return path


def zero_bytes(root: Path) -> Path:
    path = root / "photo" / "bak" / "0.jpg"
    path.write_bytes(b"")
    return path


def mislabelled(root: Path) -> Path:
    path = root / "photo" / "bak" / "0.jpg"
    path.write_text("<html>404</html>")
    return path


def dangling(root: Path) -> Path:
    path = root / "photo" / "bak" / "new.jpg"
    path.symlink_to(root / "nowhere.jpg")
    return path


def foreign_file(root: Path) -> Path:
    path = root / "photo" / "bak" / "notes.txt"
    path.write_text("hello")
    return path


def nested_folder(root: Path) -> Path:
    shutil.copytree(root / "photo" / "bol", root / "photo" / "bak" / "more")
    return root / "photo" / "bak" / "more"


def blank(root: Path) -> Path:
    path = root / "sketch" / "bak" / "0-1.png"
    Image.new("RGB", (30, 30), "white").save(path)
    return path


def tiny(root: Path) -> Path:
    path = root / "photo" / "bak" / "0.jpg"
    Image.radial_gradient("L").resize((300, 2)).save(path)
    return path


def copy_in_class(root: Path) -> Path:
    path = root / "photo" / "bak" / "1.jpg"
    shutil.copy(root / "photo" / "bak" / "0.jpg", path)
    return path


def copy_across(root: Path) -> Path:
    path = root / "photo" / "bol" / "0.jpg"
    shutil.copy(root / "photo" / "bak" / "0.jpg", path)
    return path


def photo_among_sketches(root: Path) -> Path:
    path = root / "photo" / "bak" / "0.png"
    shutil.copy(root / "sketch" / "bak" / "0-1.png", path)
    return path


def sketch_without_photo(root: Path) -> Path:
    path = root / "sketch" / "bak" / "7-1.png"
    shutil.copy(root / "sketch" / "bak" / "0-1.png", path)
    return path


# What is wrong: (the check that finds it, its status, a word of the advice, found by --quick).
PROBLEMS: dict[Callable[[Path], Path], tuple[str, str, str, bool]] = {
    empty_class: ("empty folders", "error", "remove", True),
    same_name: ("spelling", "error", "Merge", True),
    truncated: ("unreadable", "error", "on_error skip", False),
    zero_bytes: ("unreadable", "error", "on_error skip", True),
    mislabelled: ("unreadable", "error", "on_error skip", False),
    dangling: ("unreadable", "error", "on_error skip", False),
    foreign_file: ("other files", "warning", "left out", True),
    nested_folder: ("other files", "warning", "Move", True),
    blank: ("unusual images", "warning", "Look", False),
    tiny: ("unusual images", "warning", "Look", False),
    copy_in_class: ("copies in a class", "warning", "Remove", False),
    copy_across: ("copies across", "warning", "remove", False),
    photo_among_sketches: ("copies across", "warning", "remove", False),
    sketch_without_photo: ("pairs", "warning", "Add the photos", True),
}


@pytest.mark.parametrize("spoil", PROBLEMS, ids=lambda f: f.__name__)
def test_each_problem_is_named_with_path_and_advice(spoil, plain, check):
    name, status, advice, quick = PROBLEMS[spoil]
    path = spoil(plain)
    code, found, text = check(plain)
    assert code == (status == "error")
    assert found["ready"] == (status != "error")
    assert row(found, name)["status"] == status
    assert advice in row(found, name)["advice"]
    assert str(path) in str(row(found, name)["items"])
    assert path.relative_to(plain).as_posix() in text
    seen_quickly = [c["status"] for c in check(plain, "--quick")[1]["checks"] if c["name"] == name]
    assert (status in seen_quickly) == quick


def test_a_file_that_cannot_be_read_is_told_as_in_training(plain, check):
    path = plain / "photo" / "bak" / "0.png"
    path.write_bytes(b"broken\n")
    _, found, text = check(plain)
    assert "Not ready: 1 error, 0 warnings" in text
    assert row(found, "unreadable")["found"] == "1 image cannot be read"
    (item,) = row(found, "unreadable")["items"]
    assert item == {"name": str(path), "detail": r"unknown content, it starts with b'broken\n'"}


def test_one_and_several_are_told_in_good_english(plain, check):
    empty_class(plain)
    found = check(plain, "--quick")[1]
    assert row(found, "empty folders")["found"] == "1 class folder has no image"
    (plain / "photo" / "lune").mkdir()
    assert row(check(plain, "--quick")[1], "empty folders")["found"].startswith("2 class folders h")


def test_one_sided_classes_are_left_out(plain, check):
    shutil.rmtree(plain / "photo" / "bak")
    code, found, text = check(plain)
    assert code == 0
    assert row(found, "one side only")["items"] == [
        {"name": "bak", "detail": "4 sketches, no photos"}
    ]
    assert found["counts"]["all"]["classes"] == 11
    assert "bak: 4 sketches, no photos" in text


def test_missing_and_misspelled_classes_of_a_published_split(tmp_path, check):
    published = splits.packaged_list("tuberlin_sempcyc", "unseen")
    wanted = [*published[:-1], *splits.packaged_list("tuberlin_sempcyc", "seen")[:5]]
    root = build("tuberlin_ready", tmp_path / "data", wanted, sketches=1, photos=1)
    for side in ("png_ready", "ImageResized_ready"):
        (root / side / published[0]).rename(root / side / f"{published[0]}x")
    code, found, text = check(root, "--quick")
    assert code == 1
    missing = {item["name"]: item["detail"] for item in row(found, "classes")["items"]}
    assert len(missing) == 250 - 34 + 1
    assert missing[published[0]] == f"did you mean {published[0]}x?"
    assert f"{published[0]}: did you mean {published[0]}x?" in text
    assert "28 of 30 unseen" in row(found, "classes")["found"]
    assert names(found, "other classes") == [f"{published[0]}x"]
    # What is there can be trained on, and the dataset's own split still works.
    assert found["fit"].endswith(f"experiments/tuberlin.yaml --data.root {root}")
    assert "2,400 sketches" in row(found, "test")["found"]


def test_a_sample_without_unseen_classes_gets_a_split_of_its_own(tmp_path, check):
    seen = splits.packaged_list("tuberlin_sempcyc", "seen")[:6]
    root = build("tuberlin_ready", tmp_path / "data", seen)
    code, found, text = check(root)
    assert code == 1
    expected = f"--config experiments/tuberlin.yaml --data.root {root} --data.split random:2:0"
    assert text.splitlines()[-1] == f"sketchclip fit {expected}"
    assert "0 of its 30 unseen" in row(found, "fit")["found"]
    assert check(root, "--split", "random:2:0")[0] == 0


def test_complete_classes_with_too_few_test_images_are_an_error(tmp_path, check):
    wanted = [c for s in ("seen", "unseen") for c in splits.packaged_list("quickdraw_80_30", s)]
    root = build("quickdraw_final", tmp_path / "data", wanted, sketches=1, photos=1)
    code, found, _ = check(root, "--quick")
    assert code == 1
    assert found["split"]["complete"]
    assert row(found, "classes")["status"] == "ok"
    assert row(found, "test")["status"] == "error"
    assert "92,291 sketches, 54,151 photos" in row(found, "test")["found"]


def test_base_photos_among_the_extended_ones_count_once(tmp_path, check):
    root = build("sketchy_extended", tmp_path / "data", photos=3)
    _, found, text = check(root)
    base = row(found, "base photos")
    assert base["status"] == "ok"
    assert base["found"].startswith("30 photos")
    assert "zse_dup" in base["advice"]
    assert found["counts"]["all"]["photos"] == 60
    assert "copies in a class" in text


def test_examples_are_twenty_and_json_holds_all(plain, check, tmp_path):
    for number in range(25):
        (plain / "photo" / "bak" / f"{number}.txt").write_text("")
    _, found, text = check(plain, "--quick")
    assert len(names(found, "other files")) == 25
    assert sum(line.endswith(".txt") for line in text.splitlines()) == 20
    assert "and 5 more (--json FILE lists all)" in text
    target = tmp_path / "found.json"
    main(["data", "check", str(plain), "--quick", "--json", str(target)])
    written = json.loads(target.read_text())
    assert written["checks"] == found["checks"]
    assert set(written) == {
        *("version", "ready", "dataset", "recognized_by", "root", "layout", "split", "counts"),
        *("classes", "checks", "fit", "quick", "seconds"),
    }


def test_names_that_are_no_text_are_named(plain, check):
    first = sorted((plain / "photo" / "bak").iterdir())[0]
    shutil.copy(first, plain / "photo" / "bak" / "x\x1b[31m\udcff.png")
    code, found, text = check(plain, "--quick")
    assert code == 1
    assert "is not UTF-8. Rename" in row(found, "listing")["found"]
    assert "\x1b" not in text
    assert r"x\x1b[31m\udcff.png" in re.sub(r"[\s│]", "", text)


def test_several_processes_find_the_same(plain, check):
    for number in range(80):  # more than one chunk
        shutil.copy(plain / "photo" / "bak" / "0.jpg", plain / "photo" / "bak" / f"c{number}.jpg")
    truncated(plain)
    alone, shared = (check(plain, "--workers", number)[1] for number in "12")
    assert alone["checks"] == shared["checks"]
    assert len(names(alone, "copies in a class")) == 80


def other_names(data: Path) -> list[str]:
    (data / "sketch").rename(data / "ink")
    return []


UNUSABLE = {
    "no folder": (lambda data: shutil.rmtree(data) or [], "does not exist"),
    "unknown layout": (other_names, "No dataset recognized.*holds ink, photo.*Looked for"),
    "unknown dataset": (lambda data: ["--dataset", "Sketch"], "expected one of .*Sketchy"),
    "other dataset": (lambda data: (other_names(data), ["--dataset", "Sketchy"])[1], "Sketchy: ex"),
    "unknown option": (lambda data: ["--fast"], "--fast: unknown option.*--help"),
    "bad number": (lambda data: ["--workers", "-1"], "--workers: expected at least 0"),
    "one pattern": (lambda data: ["--sketch_files", "a/<class>/*"], "belong together"),
    "no folder for the report": (lambda data: ["--json", "/nowhere/a.json"], "/nowhere/a.json"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_checked_exits_with_2(name, plain, capsys):
    change, expected = UNUSABLE[name]
    options = change(plain)
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", str(plain), "--quick", *options])
    message = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message.count("error:") == 1
    assert re.search(f"(?s){expected}", message), message


def test_a_split_that_does_not_exist_is_an_error(plain, check):
    code, found, _ = check(plain, "--quick", "--split", "nosuch")
    assert code == 1
    assert "Unknown split 'nosuch'" in row(found, "split")["found"]
    assert found["split"] is None
    assert found["fit"].endswith("--data.split random:2:0")


def test_datasets_that_cannot_be_told_apart(tmp_path, monkeypatch, check, capsys):
    root = build("tuberlin_sempcyc", tmp_path / "data", ["airplane", "cow", "tree"])
    names = {name: (r".*", r".*") for name in ("TUBerlin", "QuickDraw")}
    monkeypatch.setattr("sketchclip.data_check.recognize._FILE_NAMES", names)
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", str(root), "--quick"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert re.search("QuickDraw and TUBerlin fit sketches and images.*--dataset", message), message
    assert check(root, "--quick", "--dataset", "tu-berlin")[1]["dataset"] == "TUBerlin"


def test_several_datasets_below_a_folder(tmp_path, capsys):
    build("folder", tmp_path / "all" / "one")
    build("folder", tmp_path / "all" / "two")
    with pytest.raises(SystemExit) as stopped:
        main(["data", "check", str(tmp_path / "all"), "--quick"])
    assert stopped.value.code == 2
    assert "Several datasets lie under" in capsys.readouterr().err


@pytest.mark.parametrize("args", [[], ["--help"], ["check", "--help"], ["prepare", "--help"]])
def test_help_comes_without_pytorch(args):
    program = (
        "import sys\nfrom sketchclip.cli import main\n"
        "try: main(['data', *sys.argv[1:]])\n"
        "except SystemExit as stopped: assert not stopped.code\n"
        "heavy = {'torch', 'lightning', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert ("exit status:" in done.stdout) == (args == ["check", "--help"])


def test_prepare_and_train_from_it(plain, tmp_path, capsys, options):
    folder = tmp_path / "prepared"
    wanted = ["data", "prepare", str(plain), "--out", str(folder), "--size", "32"]
    assert main([*wanted, "--workers", "1"]) == {"images": 72, "written": 72, "kept": 0}
    assert f"--data.prepared {folder}" in capsys.readouterr().out
    assert main([*wanted, "--workers", "1"]) == {"images": 72, "written": 0, "kept": 72}
    data = ["--config", "experiments/own_data.yaml", "--data.root", str(plain)]
    used = ["--data.prepared", str(folder), "--trainer.fast_dev_run", "1"]
    assert main(["fit", *data, *options, *used]).trainer.state.finished
    with pytest.raises(SystemExit) as stopped:
        main([*wanted, "--resize", "stretch"])
    assert stopped.value.code == 2
    assert "--resize stretch: expected one of letterbox" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("", r"There is photo/ with 12 classes but no sketch/ beside it: add sketches, or use"),
        ("photo", r"name its parent, \S+data, and add sketches, or use 'sketchclip index'"),
    ],
)
@pytest.mark.parametrize("command", [["data", "check"], ["fit", "--data.root"]])
def test_photos_alone_say_what_is_missing(plain, capsys, command, folder, told):
    shutil.rmtree(plain / "sketch")
    more = [] if command[0] == "data" else ["--config", "experiments/own_data.yaml"]
    with pytest.raises(SystemExit):
        main([*command, str(plain / folder), *more])
    assert re.search(told, capsys.readouterr().err)
