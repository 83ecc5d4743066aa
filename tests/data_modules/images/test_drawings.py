"""Sketches given as strokes: ndjson lines and SVG files, as points, sequences and pictures."""

import codecs
import io
import json
from pathlib import Path

import numpy as np
import pytest

from data_modules.images.decode import UnreadableImageError
from data_modules.images.drawings import (
    count_drawings,
    read_strokes,
    render_drawing,
    stroke_sequence,
)
from data_modules.images.read import read_image

DRAWINGS = [
    [[[0, 255], [0, 255]]],
    [[[10, 20, 30], [5, 5, 9]], [[1], [2]]],
    [[[-3.5, 800.25], [1000.0, 12.0], [0, 34]]],  # raw: unbounded, with times
]


def ndjson(path: Path, drawings: list, end: str = "\n") -> Path:
    lines = [json.dumps({"word": "cat", "drawing": d}) for d in drawings]
    path.write_text("\n".join(lines) + end)
    return path


def test_lines_of_ndjson(tmp_path):
    path = ndjson(tmp_path / "cat.ndjson", DRAWINGS)
    assert count_drawings(path) == 3
    for number, drawing in enumerate(DRAWINGS):
        strokes = read_strokes(tmp_path / f"cat.ndjson#{number}")
        assert all(s.dtype == np.float32 and s.shape[1] == 2 for s in strokes)
        assert [s.T.tolist() for s in strokes] == [[xs, ys] for xs, ys, *_ in drawing]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n"])
def test_lines_are_counted_over_blocks_and_after_changes(tmp_path, end):
    path = tmp_path / "cat.ndjson"
    padding = "x" * 3000  # in all more than a block of 1 MB
    for count in (1, 31, 32, 33, 1000):
        lines = [
            json.dumps({"drawing": [[[i, 0], [0, 0]]], "p": padding[: i * 997 % 3000]})
            for i in range(count)
        ]
        path.write_bytes(("\n".join(lines) + end).encode())
        assert count_drawings(path) == count
        for number in {0, count // 2, *range(min(31, count - 1), count, 97), count - 1}:
            strokes = read_strokes(tmp_path / f"cat.ndjson#{number}")
            assert strokes[0][0].tolist() == [number, 0]


@pytest.mark.slow
def test_reading_a_line_reads_little(tmp_path, monkeypatch):
    path = ndjson(tmp_path / "cat.ndjson", [[[[i % 255], [0]]] for i in range(20_000)])
    read_strokes(tmp_path / "cat.ndjson#0")
    size, read = path.stat().st_size, []
    real = Path.open

    class Counted(io.BufferedReader):
        def read(self, *args):
            read.append(len(data := super().read(*args)))
            return data

        def readline(self, *args):
            read.append(len(data := super().readline(*args)))
            return data

    monkeypatch.setattr(Path, "open", lambda s, mode: Counted(real(s, mode).detach()))
    assert read_strokes(tmp_path / "cat.ndjson#19999")[0][0, 0] == 19999 % 255
    assert 0 < sum(read) < size / 100


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "JSONDecodeError"),
        ("", "JSONDecodeError"),
        ("[]", "no 'drawing'"),
        ('{"word": "cat"}', "no 'drawing'"),
        ('{"drawing": []}', "at least one stroke"),
        ('{"drawing": [[[1, 2], [3]]]}', "2 x and 1 y"),
        ('{"drawing": [[[1, "2"], [3, 4]]]}', "is no number"),
        ('{"drawing": [[[1, NaN], [3, 4]]]}', "nan is outside"),
        ('{"drawing": [[[1, 1e999], [3, 4]]]}', "inf is outside"),
        ('{"drawing": 5}', "list of strokes"),
        ("\xff\xfe", "Error"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, found):
    (tmp_path / "cat.ndjson").write_bytes(
        b'{"drawing": [[[1], [1]]]}\n' + line.encode("latin-1") + b"\n{}\n"
    )
    for read in (read_strokes, read_image):
        expected = rf"cat\.ndjson#1 \(.*{found}.*Expected a line.*repair or remove"
        with pytest.raises(UnreadableImageError, match=expected) as caught:
            read(tmp_path / "cat.ndjson#1")
        assert caught.value.path == tmp_path / "cat.ndjson#1"


SQUARE = [[20, 20], [80, 20], [80, 80], [20, 80], [20, 20]]


@pytest.mark.parametrize(
    ("drawing", "points"),
    [
        ([SQUARE], [SQUARE]),
        ([[[*p, t] for t, p in enumerate(SQUARE)]], [SQUARE]),  # with times
        ([[*zip(*SQUARE, strict=True)]], [SQUARE]),
        ([[*zip(*SQUARE, strict=True), [0, 1, 2, 3, 4]]], [SQUARE]),
        ([SQUARE, [[1, 2], [3, 4]]], [SQUARE, [[1, 2], [3, 4]]]),  # as the other stroke is
        ([[*zip(*SQUARE, strict=True)], [[1, 2], [3, 4]]], [SQUARE, [[1, 3], [2, 4]]]),
        ([[[1, 2], [3, 4]]], [[[1, 3], [2, 4]]]),  # rows, where nothing tells
        ([[[1, 2], [3, 4], [0, 9]]], [[[1, 3], [2, 4]]]),
        ([[[5, 7]]], [[[5, 7]]]),
        ([[[5], [7]]], [[[5, 7]]]),
    ],
)
@pytest.mark.parametrize("start", [b"", codecs.BOM_UTF8])
def test_strokes_may_be_points(tmp_path, drawing, points, start):
    line = json.dumps({"drawing": drawing}).encode()
    (tmp_path / "a.ndjson").write_bytes(start + line + b"\r\n")
    assert [s.tolist() for s in read_strokes(tmp_path / "a.ndjson#0")] == points


@pytest.mark.parametrize(
    ("drawing", "found"),
    [
        ([SQUARE, [[1, 2, 3, 4], [5, 6, 7, 8]]], "stroke 0 holds points .* stroke 1 does not"),
        ([[*SQUARE, [1]]], r"6 rows of 2, 2, 2, 2, 2, 1 numbers"),
        ([[[1, 2], [3, 4], [5]]], r"3 rows of 2, 2, 1 numbers"),
        ([[[1] * 5] * 5], r"expected rows x, y and times, got 5 rows"),
        (SQUARE, r"stroke 0: expected \[\[x"),
        ([[{"x": 1, "y": 2}] * 5], r"expected \[\[x"),
        ([[["1", "2"]] * 5], "'1' is no number"),
        ([[[10**400, 1], [2, 2]]], "10000.* is outside"),
    ],
)
def test_strokes_that_are_neither_are_named(tmp_path, drawing, found):
    (tmp_path / "a.ndjson").write_text(json.dumps({"drawing": drawing}))
    with pytest.raises(UnreadableImageError, match=found) as caught:
        read_strokes(tmp_path / "a.ndjson#0")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_missing_lines_and_files_are_named(tmp_path):
    ndjson(tmp_path / "cat.ndjson", DRAWINGS)
    (tmp_path / "empty.ndjson").write_bytes(b"")
    (tmp_path / "folder.ndjson").mkdir()
    assert count_drawings(tmp_path / "empty.ndjson") == 0
    for name, found in {
        "cat.ndjson#3": "it has 3 lines.*0 to 2",
        "empty.ndjson#0": "it has 0 lines",
        "cat.ndjson": "no line is named",
        "cat.ndjson#x": "no line is named",
        "dog.ndjson#0": "No such file",
        "folder.ndjson#0": "directory",
    }.items():
        with pytest.raises(UnreadableImageError, match=found):
            read_image(tmp_path / name)


SVG = """<?xml version="1.0"?>
<svg viewBox="0 0 800 800" xmlns="http://www.w3.org/2000/svg" version="1.1">
<rect width="800" height="800" fill="white"/>
<g fill="none" stroke="black" stroke-width="0.8"><g transform="translate(10,20) scale(2)">
{}
</g></g></svg>"""


def svg(folder: Path, *content: str) -> Path:
    path = folder / "1.svg"
    path.write_text(SVG.format("\n".join(content)))
    return path


def test_svg_paths_become_strokes(tmp_path):
    curve = '<path id="0" d="M0 0 C 0 100 100 100 100 0"/>'
    line = '<path d="M10 10 l 30 0 M 5 5 L 6 6"/>'  # two strokes in one path
    strokes = read_strokes(svg(tmp_path, curve, line))
    assert [len(s) for s in strokes[1:]] == [2, 2]  # the white page is none
    assert strokes[1].tolist() == [[30, 40], [90, 40]]
    assert strokes[2].tolist() == [[20, 30], [22, 32]]
    arch = strokes[0]
    assert arch[[0, -1]].tolist() == [[10, 20], [210, 20]]
    # Against the curve itself: x = 3 t^2 (1 - t) + t^3, y = 3 t (1 - t) in units of 200.
    t = np.linspace(0, 1, 1000)
    true = np.stack([10 + 200 * (3 * t**2 - 2 * t**3), 20 + 600 * t * (1 - t)], axis=1)
    nearest = np.linalg.norm(arch[:, None] - true[None], axis=2).min(axis=1)
    assert nearest.max() < 0.5
    middles = (arch[1:] + arch[:-1]) / 2
    assert np.linalg.norm(middles[:, None] - true[None], axis=2).min(axis=1).max() < 0.5
    assert len(arch) < 50


def test_svg_shapes_and_arcs(tmp_path):
    strokes = read_strokes(
        svg(tmp_path, '<circle cx="50" cy="50" r="40"/>', '<polyline points="0,0 9,0 9,9"/>')
    )
    radii = np.linalg.norm(strokes[0] - (110, 120), axis=1)
    assert np.abs(radii - 80).max() < 0.3
    assert strokes[1].tolist() == [[10, 20], [28, 20], [28, 38]]


def test_a_turned_circle_is_where_it_belongs(tmp_path):
    circle = '<circle cx="50" cy="0" r="40" transform="rotate(90)"/>'
    (stroke,) = read_strokes(svg(tmp_path, circle))
    assert np.abs(np.linalg.norm(stroke - (10, 120), axis=1) - 80).max() < 0.3


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no xml",
        SVG.format("<path"),
        SVG.replace("<rect", "<!--").replace('fill="white"/>', "-->").format(""),
        SVG.format('<path d="M nan nan L 1e999 1"/>'),
        SVG.format('<path d="M 0 0 L 1e39 1"/>'),
        "<html><body>404</body></html>",
        SVG.format('<path d="M 0 0 L 5 5"/>')[:-20],
    ],
)
def test_bad_svg_files_are_named(tmp_path, content):
    (tmp_path / "a.svg").write_text(content)
    with pytest.raises(UnreadableImageError, match=r"Cannot read image .*a\.svg \(.+repair or"):
        read_image(tmp_path / "a.svg")


def test_drawings_are_black_on_white_pictures_of_the_side(tmp_path):
    path = ndjson(tmp_path / "cat.ndjson", [[[[500, 900, 900], [-700, -700, 100]]]])
    line = path.with_name("cat.ndjson#0")
    assert read_image(line).shape == (224, 224, 3)
    pixels = read_image(line, 64)
    assert pixels.shape == (64, 64, 3)
    assert (pixels == render_drawing(line, 64)).all()
    assert pixels[[0, 0, -1, -1], [0, -1, 0, -1]].min() == 255
    assert pixels.min() == 0
    assert pixels.flags.writeable
    # A corner at the upper right: y points downwards.
    ink = pixels[..., 0] < 128
    assert ink[:16].any()
    assert ink[:, -26:].sum() > ink[:, :26].sum()


def test_a_stroke_sequence_is_scaled_and_padded():
    strokes = [np.array([[100.0, 50], [300, 50]]), np.array([[200.0, 150]])]
    sequence = stroke_sequence(strokes, 5)
    assert sequence.dtype == np.float32
    assert sequence.tolist() == [[0, 0, 0], [1, 0, 1], [0.5, 0.5, 1], [0, 0, -1], [0, 0, -1]]
    assert stroke_sequence([np.array([[7.0, 9]])], 2).tolist() == [[0, 0, 1], [0, 0, -1]]


def test_a_long_drawing_keeps_its_ends_and_its_largest_strokes():
    rng = np.random.default_rng(0)
    strokes = [np.cumsum(rng.normal(size=(n, 2)), axis=0) for n in (50, 3, 200, 1)]
    sequence = stroke_sequence(strokes, 32)
    pen = sequence[:, 2]
    assert (pen >= 0).sum() > 24
    assert (pen == 1).sum() == 4
    points = np.concatenate(strokes) - np.concatenate(strokes).min(axis=0)
    ends = points[np.cumsum([50, 3, 200, 1]) - 1] / points.max()
    assert np.abs(sequence[pen == 1, :2] - ends).max() < 0.1
    few = stroke_sequence([np.array([[i, 0.0], [i, i % 7]]) for i in range(40)], 10)
    assert (few[:, 2] == 1).sum() == 5
    assert (few[:, 2] >= 0).all()
