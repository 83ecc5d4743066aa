"""Queries in every form that people have them, and those that must do no harm."""

import io
import json
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from data_modules.images.render import render_strokes
from sketchclip.errors import SketchClipError
from sketchclip.search import query as queries
from sketchclip.search.query import combine, read_query

CAT = [[[10, 200, 120], [20, 30, 220]], [[60, 90], [60, 60]]]
SVG = '<svg xmlns="http://www.w3.org/2000/svg"{more}>{head}<path d="{d}" stroke="black"/></svg>'
PATH = " ".join("M" + " L".join(f"{x},{y}" for x, y in zip(*s, strict=True)) for s in CAT)


def svg(more: str = "", head: str = "") -> bytes:
    return SVG.format(more=more, head=head, d=PATH).encode()


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_forms_of_one_drawing_agree(tmp_path, monkeypatch):
    expected = np.array(render_strokes(CAT, 224))
    line = json.dumps({"word": "cat", "drawing": CAT}).encode()
    (tmp_path / "cats.ndjson").write_bytes(b'{"drawing": [[[0, 9], [0, 9]]]}\n' + line + b"\n")
    (tmp_path / "cat.svg").write_bytes(svg())
    forms = [
        line,
        line + b"\n",
        b"\xef\xbb\xbf " + line,
        json.dumps(CAT).encode(),
        json.dumps({"drawing": CAT, "of": {"word": "cat"}}, indent=2)
        .replace("\n", "\r\n")
        .encode(),
        json.dumps([{"drawing": CAT}]).encode(),
        tmp_path / "cats.ndjson#1",
        tmp_path / "cat.svg",
        svg(),
        b'<?xml version="1.0"?>\n' + svg(),
        encoded(Image.fromarray(expected), "PNG"),
    ]
    for form in forms:
        np.testing.assert_array_equal(read_query(form), expected)
    jpeg = read_query(encoded(Image.fromarray(expected), "JPEG"))
    assert np.abs(jpeg.astype(int) - expected).mean() < 5
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    np.testing.assert_array_equal(read_query(queries.Path("-")), expected)


def test_transparency_is_white_and_black_ink_stays():
    page = Image.new("RGBA", (60, 50), (0, 0, 0, 0))
    ImageDraw.Draw(page).line((5, 5, 50, 40), (0, 0, 0, 255), 4)
    image = read_query(encoded(page, "PNG"))
    assert image.shape == (50, 60, 3)
    assert image[0, -1].tolist() == [255, 255, 255]
    assert image.min() == 0
    assert image.mean() > 200


@settings(max_examples=25, deadline=None)
@given(
    strokes=st.lists(
        st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=2, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_any_strokes_give_a_picture_of_dark_ink(strokes):
    drawing = [[list(row) for row in zip(*stroke, strict=True)] for stroke in strokes]
    image = read_query(json.dumps({"drawing": drawing}).encode())
    assert image.shape == (224, 224, 3)
    assert image.dtype == np.uint8
    assert image.max() == 255
    assert image.min() < 128


@settings(max_examples=60, deadline=None)
@given(
    start=st.sampled_from(
        [b"", b"{", b"[", b"<svg ", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF89a"]
    ),
    rest=st.binary(max_size=60),
    kind=st.sampled_from([None, "image", "svg", "strokes"]),
)
def test_junk_is_refused_in_one_way(start, rest, kind):
    with pytest.raises(SketchClipError):
        read_query(start + rest, kind)


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is large."""
    data = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">%s]>' % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)
)
CLONES = "".join(f'<g id="g{n}">' + f'<use href="#g{n - 1}"/>' * 10 + "</g>" for n in range(1, 9))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "unknown content"),
        (bomb(9_000, 9_000), "9000 x 9000 pixels; at most 25,000,000"),
        (bomb(40_000, 40_000), "decompression bomb"),
        (encoded(Image.new("RGB", (9, 9), "white"), "PNG"), "shows nothing"),
        (b'{"drawing": []}', "at least one stroke"),
        (b'{"drawing": [[[0, 1e999], [0, 1]]]}', "outside"),
        (b'{"word": "cat"}', "no 'drawing'"),
        (b"[" * 100_000, "Recursion|recursion"),
        (b'{"drawing": [[[0, 9], [0, 9]]]}\n{"drawing": [[[0, 9], [9, 0]]]}\n', "2 drawings"),
        (
            b'{"drawing": [[[0, 9], [0, 9]]]}\r\n\r\n{"drawing": [[[0, 9], [9, 0]]]}\r\n',
            "2 drawings",
        ),
        (b'[{"drawing": [[[0], [0]]]}, {"drawing": [[[0], [0]]]}]', "2 drawings"),
        (b'{"drawing": [[[0, 9], [0, 9]]]} and more', "Extra data"),
        (b"[" + b" " * 600_000 + b"]", "600,002 bytes"),
        (svg() + b" " * 600_000, "bytes"),
        (ENTITIES + svg(head="&a9;"), "declares the entity 'a'"),
        (svg(head='<defs><g id="g0"><path d="M0 0L9 9"/></g>' + CLONES + "</defs>"), "clones"),
        (b"<svg><path", "."),
        (b"<html><body>no drawing</body></html>", "an SVG file with strokes"),
    ],
)
def test_what_would_do_harm_is_refused_at_once(data, told):
    start = time.process_time()
    with pytest.raises(SketchClipError, match=told):
        read_query(data)
    assert time.process_time() - start < 2


def test_nothing_in_an_svg_is_fetched_or_run(tmp_path, monkeypatch):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (50, 50), "black").save(secret)
    head = (
        f'<image href="{secret.as_uri()}" width="200" height="200"/>'
        '<image href="http://127.0.0.1:9/x.png" width="9" height="9"/>'
        "<script>alert(1)</script><style>@import url(http://127.0.0.1:9/x.css);</style>"
        f'<foreignObject><iframe src="{secret.as_uri()}"/></foreignObject>'
    )
    opened = []
    monkeypatch.setattr("socket.socket.connect", lambda *args: opened.append(args))
    monkeypatch.setattr("builtins.open", lambda *args, **_: opened.append(args))
    monkeypatch.setattr("io.open", lambda *args, **_: opened.append(args))
    doctype = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://127.0.0.1:9/svg11.dtd">'
    image = read_query(doctype + svg(' onload="alert(1)"', head))
    monkeypatch.undo()
    assert opened == []
    np.testing.assert_array_equal(image, read_query(svg()))


def test_files_that_are_none(tmp_path):
    with pytest.raises(SketchClipError, match="there is no such file"):
        read_query(tmp_path / "cat.png")
    with pytest.raises(SketchClipError, match="no regular file"):
        read_query(tmp_path)
    with pytest.raises(SketchClipError, match="expected one of image, svg, strokes"):
        read_query(b"x", "pdf")


UNIT = st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4).filter(
    lambda values: np.linalg.norm(values) > 0.1
)


@settings(max_examples=40, deadline=None)
@given(a=UNIT, b=UNIT, weight=st.floats(0, 1))
def test_a_combination_lies_between_sketch_and_text(a, b, weight):
    sketch, text = (np.array(v, np.float32) / np.linalg.norm(v) for v in (a, b))
    if np.linalg.norm((1 - weight) * sketch + weight * text) < 1e-3:
        return
    mixed = combine(sketch, text, weight)
    assert mixed.dtype == np.float32
    assert np.linalg.norm(mixed) == pytest.approx(1, abs=1e-5)
    assert mixed @ sketch >= text @ sketch - 1e-4
    assert mixed @ text >= text @ sketch - 1e-4


def test_a_combination_of_one_is_that_one():
    sketch, text = np.eye(2, dtype=np.float32)
    np.testing.assert_array_equal(combine(sketch, None, 0.5), sketch)
    np.testing.assert_array_equal(combine(None, text, 0.5), text)
    np.testing.assert_array_equal(combine(sketch, text, 0), sketch)
    np.testing.assert_array_equal(combine(sketch, text, 1), text)
    np.testing.assert_allclose(combine(sketch, text, 0.5), [0.5**0.5] * 2)
    for values, told in (
        ((None, None, 0.5), "Nothing to search for"),
        ((sketch, text, 1.5), "expected 0 to 1"),
        ((sketch, text, float("nan")), "expected 0 to 1"),
        ((sketch, -sketch, 0.5), "cancel"),
    ):
        with pytest.raises(SketchClipError, match=told):
            combine(*values)
