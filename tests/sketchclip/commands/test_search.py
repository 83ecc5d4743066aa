"""'sketchclip index' and 'search' on photos of the embedded doodles, with the mini CLIP."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import Doodles
from data_modules.images.read import read_image
from data_modules.splits.split import packaged_list
from sketchclip.cli import main
from sketchclip.commands.search import _print as show
from sketchclip.errors import printable
from sketchclip.search.index import Hit, PhotoIndex

CLASSES = sorted(packaged_list("doodles", "unseen"))[:20]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Index of the photos of twenty unseen classes."""
    folder = tmp_path_factory.mktemp("search")
    for name in CLASSES:
        shutil.copytree(Doodles().catalogue.files.root / "photo" / name, folder / "photos" / name)
    place = folder / "index"
    main(["index", str(folder / "photos"), "-o", str(place), "--backbone", "sketchclip-mini"])
    return place


def sketches(name: str):
    return sorted((Doodles().catalogue.files.root / "sketch" / name).iterdir())


def search(capsys, *args) -> dict:
    capsys.readouterr()
    main(["search", *map(str, args), "--json"])
    return json.loads(capsys.readouterr().out)


def fails(capsys, *args) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*map(str, args)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_doodles_find_photos_of_their_class(place):
    index = PhotoIndex.open(str(place))
    assert index.classes == CLASSES
    model = index.load_model(device="cpu")
    files = [(name, path) for name in CLASSES for path in sketches(name)[:4]]
    embedded = model.sketches([path for _, path in files])
    found = [
        np.mean([hit.class_name == name for hit in index.search(query, 5)])
        for (name, _), query in zip(files, embedded, strict=True)
    ]
    assert np.mean(found) > 3 / len(CLASSES)  # chance is 1 of 20


def test_json_names_every_photo(place, capsys):
    sketch = sketches(CLASSES[3])[0]
    told = search(capsys, sketch, "--index", place, "-k", 7)
    assert told["sketch"] == str(sketch)
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3, 4, 5, 6, 7]
    scores = [hit["score"] for hit in told["hits"]]
    assert scores == sorted(scores, reverse=True)
    model = PhotoIndex.open(str(place)).load_model(device="cpu")
    query = model.sketches([sketch])[0]
    for hit in told["hits"]:
        photo = model.photos([hit["path"]])[0]
        assert hit["score"] == pytest.approx(float(photo @ query), abs=1e-5)
        assert hit["class_name"] in hit["path"]


def test_forms_of_a_query_agree(place, capsys, monkeypatch):
    sketch = sketches(CLASSES[0])[0]
    told = search(capsys, sketch, "--index", place, "-k", 3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sketch.read_bytes())))
    piped = search(capsys, "-", "--index", place, "-k", 3)
    assert piped["hits"] == told["hits"]


def test_class_filter_and_text(place, capsys):
    sketch = sketches(CLASSES[0])[0]
    told = search(capsys, sketch, "--index", place, "--class-filter", CLASSES[1])
    assert {hit["class_name"] for hit in told["hits"]} == {CLASSES[1]}
    assert len(told["hits"]) == 5
    words = ("--text", f"a photo of a {CLASSES[2]}")
    alone = search(capsys, *words, "--index", place)
    assert (alone["sketch"], alone["text_weight"]) == (None, None)
    whole = search(capsys, sketch, *words, "--text-weight", 1, "--index", place)
    assert [h["photo"] for h in whole["hits"]] == [h["photo"] for h in alone["hits"]]
    mixed = search(capsys, sketch, *words, "--text-weight", 0.3, "--index", place)
    assert mixed["hits"] not in (whole["hits"], told["hits"])


def test_table_and_picture(place, capsys, tmp_path):
    picture = tmp_path / "deep" / "grid.png"
    capsys.readouterr()
    sketch = str(sketches(CLASSES[0])[0])
    hits = main(["search", sketch, "--index", str(place), "-k", "12", "--save", str(picture)])
    printed = capsys.readouterr().out
    for hit in hits:
        assert str(hit.path) in printed
        assert f"{hit.score:.4f}" in printed
    image = read_image(picture)
    width = 104
    assert image.shape[0] > 2 * width  # twelve photos are two rows
    assert image.shape[1] > 8 * width
    for hit in hits[:2]:  # the photos are in there
        tile = Image.fromarray(read_image(hit.path, width))
        tile.thumbnail((width, width), Image.Resampling.LANCZOS)
        windows = np.lib.stride_tricks.sliding_window_view(image[..., 1], tile.size[::-1])
        wanted = np.asarray(tile)[..., 1]
        assert (windows[40:60] == wanted).all(axis=(-1, -2)).any()


def test_the_picture_says_what_was_searched_with_what(place, capsys, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "sketchclip.search.picture.search_page",
        lambda *given: drawn.append(given) or Image.new("RGB", (9, 9)),
    )
    name = next(name for name in CLASSES if "_" in name)
    sketch, file = sketches(name)[0], tmp_path / "found.png"
    spoken = name.replace("_", " ")  # as people see it, and may write it
    words = ("--text", "a red bus", "--text-weight", 0.3, "--class-filter", spoken, "--save", file)
    capsys.readouterr()
    hits = main(["search", str(sketch), "--index", str(place), *map(str, words)])
    assert {hit.class_name for hit in hits} == {name}
    assert f" {spoken} " in capsys.readouterr().out
    image, title, shown, footer = drawn[0]
    assert image.shape[2] == 3
    assert title == f'Query: {sketch.name} + "a red bus" (weight of the text 0.3), class {spoken}'
    for hit, (photo, score, label) in zip(hits, shown, strict=True):
        assert (photo, label) == (hit.path, spoken)
        assert score == f"{hit.rank}   {hit.score:.3f}"
    assert f"first {len(hits)} of {len(PhotoIndex.open(str(place))):,} photos" in footer
    assert "sketchclip-mini" in footer
    assert "rank, cosine" in footer


NAMES = [
    *(
        "全家福" * 30,
        "e\u0301" * 99,
        "👩‍👩‍👧" * 30,
        "[red]x[/red]",
        "esc\x1b[31m\nline\u202e",
        "\udcff",
    ),
]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_are_whole_and_steer_no_terminal(monkeypatch, encoding):
    hits = [
        Hit(1, 0.5, f"{i:032x}", Path("/照片", name, f"{name}{i}.jpg"), name * (i % 2))
        for i, name in enumerate(NAMES)
    ]
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    main(["--version"])  # any command
    show(hits, f"6 photos of {NAMES[-2]}", "cosine")
    stream.flush()
    printed = stream.buffer.getvalue().decode(encoding)
    for hit in hits:
        expected = printable(hit.path).encode(encoding, "backslashreplace").decode(encoding)
        assert expected in printed
    assert "\x1b" not in printed
    assert len(printed.splitlines()) == 1 + 4 + len(hits) + 1


def test_names_in_messages_steer_no_terminal(place, capsys):
    err = fails(capsys, "search", "no\x1b[31m\n照\udcff.png", "--index", place)
    assert r"Cannot read image no\x1b[31m\n照\udcff.png (there is no such file)" in err


def test_an_index_is_brought_up_to_date(place, capsys, tmp_path):
    own = shutil.copytree(place.parent / "photos" / CLASSES[0], tmp_path / "photos" / "a")
    index = tmp_path / "index"
    frozen = ("--backbone", "sketchclip-mini")
    assert "no index at" in fails(capsys, "index", "-o", index, "--update")
    assert main(["index", str(own), "-o", str(index), *frozen]).added == 5
    assert "is an index" in fails(capsys, "index", own, "-o", index)
    (own / "bad.png").write_bytes(b"no picture")
    next(own.glob("*.webp")).unlink()
    summary = main(["index", "-o", str(index), "--update"])
    assert (summary.photos, summary.removed, summary.embedded) == (4, 1, 0)
    said = capsys.readouterr()
    assert "4 photos in" in said.out
    assert "Skipped, 1 in all:\n  " in said.err
    assert "bad.png" in (index / "unreadable.txt").read_text()
    (own / "bad.png").unlink()
    main(["index", "-o", str(index), "--update"])
    assert not (index / "unreadable.txt").exists()


def test_a_folder_that_is_missing_is_told_before_a_model_is_loaded(capsys, tmp_path, monkeypatch):
    def load(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("sketchclip.pretrained.model.load_model", load)
    mini = ("--backbone", "sketchclip-mini")
    told = fails(capsys, "index", tmp_path / "nosuch", "-o", tmp_path / "index", *mini)
    assert told.count("\n") == 1
    assert "nosuch does not exist. Expected a folder with photos." in told


def test_what_a_user_can_mend_is_told_in_a_line(place, capsys, tmp_path):
    sketch = sketches(CLASSES[0])[0]
    assert "no index at" in fails(capsys, "search", sketch, "--index", tmp_path / "none")
    assert "Nothing to search for" in fails(capsys, "search", "--index", place)
    assert "no such file" in fails(capsys, "search", tmp_path / "x.png", "--index", place)
    wrong = CLASSES[1][:-1] + "e"
    near = fails(capsys, "search", sketch, "--index", place, "--class-filter", wrong)
    assert f"no class '{wrong}'. Nearest: " in near
    assert CLASSES[1] in near
    assert "no class 'x'" in fails(
        capsys, "search", sketch, "--index", place, "--class-filter", "x"
    )
    assert "expected 0 to 1" in fails(
        capsys, "search", sketch, "--text", "a", "--text-weight", "3", "--index", place
    )
    for file in (tmp_path / "grid.nothing", tmp_path / "grid"):  # before the index is read
        wrong = fails(capsys, "search", sketch, "--index", tmp_path / "none", "--save", file)
        assert f"Cannot write {file}: expected a picture's ending, such as .png" in wrong
    assert "--readers: expected at least 1, found 0" in fails(
        capsys, "index", tmp_path, "-o", place, "--readers", "0"
    )
    for command in ("index", "search"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert f"sketchclip {command} " in capsys.readouterr().out
