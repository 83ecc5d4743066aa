"""The demo's server against bad input: it refuses with a message, and goes on."""

import base64
import io
import json
import struct
import threading
import time
import zlib
from itertools import pairwise
from types import SimpleNamespace

import anyio
import numpy as np
import pytest
from PIL import Image
from starlette.responses import Response

from sketchclip.pretrained.model import load_model
from sketchclip.search.demo.answers import Answers
from sketchclip.search.demo.columns import Column
from sketchclip.search.demo.limits import Guard, Limits
from sketchclip.search.demo.pictures import Thumbnails
from sketchclip.search.demo.query import parse_query
from sketchclip.search.index import PhotoIndex
from sketchclip.search.update import index_photos
from tests.helpers.demo import LINE, running
from tests.helpers.storm import CLIENTS, EXPECTED, storm


def png(side: int = 32, color: str = "white") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), color).save(file, "PNG")
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of side x side pixels in a few bytes a row: what it costs is decoding it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def column(tree, tiny_weights, tmp_path_factory):
    model = load_model("frozen", "tiny", str(tiny_weights), "cpu")
    place = str(tmp_path_factory.mktemp("index") / "photos")
    index_photos([tree / "photo"], model, place, progress=False)
    return Column("tiny", PhotoIndex.open(place), model)


@pytest.fixture(scope="module")
def site(column):
    with running([column], Limits(upload_seconds=1.0)) as site:
        yield site
        # Whatever the tests sent, the server is there and answers.
        status, answer = site.search(strokes=[LINE])
        assert status == 200
        assert len(answer["results"][0]) == 24


def message(answer: tuple[int, object, bytes]) -> str:
    told = json.loads(answer[2])
    assert set(told) == {"error"}
    return told["error"]


def test_a_drawing_finds_photos(site, column):
    status, answer = site.search(strokes=[LINE], count=5)
    assert status == 200
    (hits,) = answer["results"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert hits[0]["score"] >= hits[4]["score"]
    assert answer["seen"].startswith("data:image/png;base64,")
    status, headers, body = site.get(f"/photo/0/{hits[0]['id']}")
    assert status == 200
    assert headers["Content-Type"] == "image/webp"
    assert Image.open(io.BytesIO(body)).size == Image.open(hits[0]["path"]).size


def test_the_drawing_is_rendered_as_training_sketches_are(site, column):
    """However large and wherever it is drawn."""
    from data_modules.images.render import render_strokes

    _, answer = site.search(strokes=[{"x": [100, 200], "y": [300, 350]}])
    seen = np.array(Image.open(io.BytesIO(base64.b64decode(answer["seen"].partition(",")[2]))))
    expected = np.array(render_strokes([[[0, 100], [0, 50]]], size=112))
    assert np.abs(seen.astype(int) - expected).mean() < 1


def test_class_text_and_like(site, column):
    name = column.index.classes[0]
    _, answer = site.search(strokes=[LINE], class_name=name)
    assert {hit["class"] for hit in answer["results"][0]} == {name}
    photo = answer["results"][0][1]["id"]
    _, answer = site.search(like={"column": 0, "photo": photo})
    assert answer["results"][0][0]["id"] == photo
    assert answer["results"][0][0]["score"] == pytest.approx(1, abs=1e-3)
    order = [
        [h["id"] for h in site.search(strokes=[LINE], text="red", weight=w)[1]["results"][0]]
        for w in (0, 1)
    ]
    assert order[0] == [h["id"] for h in site.search(strokes=[LINE])[1]["results"][0]]
    assert order[1] == [h["id"] for h in site.search(text="red")[1]["results"][0]]


def test_the_saved_picture_says_what_was_searched(site, column, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "sketchclip.search.picture.search_page",
        lambda *given: drawn.append(given) or Image.new("RGB", (9, 9)),
    )
    photo = site.search(strokes=[LINE])[1]["results"][0][0]
    name = photo["class"].replace("_", " ")
    asked = [
        {"strokes": [LINE], "text": "red", "weight": 0.3},
        {"text": "red", "class_name": photo["class"]},
        {"like": {"column": 0, "photo": photo["id"]}, "count": 3},
    ]
    answers = Answers([column], 1 << 20, full_paths=True)
    for query in asked:
        picture = Image.open(io.BytesIO(answers.grid(json.dumps(query).encode())))
        assert picture.format == "PNG"
    assert [title for _, title, _, _ in drawn] == [
        'Query: a sketch + "red" (weight of the text 0.3)',
        f'Query: "red", class {name}',
        f"Query: photos like {name}",
    ]
    assert [image is None for image, *_ in drawn] == [False, True, False]
    assert f"first 3 of {len(column.index):,} photos, found by {column.name}" in drawn[2][3]


def test_a_class_of_the_other_column_alone_finds_nothing_here(column):
    other = Column("other", SimpleNamespace(classes=["none"]), column.model)
    name = column.index.classes[0]
    query = parse_query(json.dumps({"text": "red", "class_name": name}).encode())
    assert other.search(query, None, None) == []
    assert column.search(query, None, None)


def test_photos_in_memory_are_bounded(column, tree):
    photos = sorted((tree / "photo").rglob("*.png"))
    sizes = {len(Thumbnails(1 << 20).webp(photo, 320)) for photo in photos}
    kept = Thumbnails(3 * max(sizes))
    for photo in [*photos, *photos]:
        assert Image.open(io.BytesIO(kept.webp(photo, 320))).format == "WEBP"
        assert kept.size <= 3 * max(sizes)


def test_line_widths_differ_for_the_model_too(site):
    seen = {site.search(strokes=[{**LINE, "width": w}])[1]["seen"] for w in (0.6, 1, 1.8)}
    assert len(seen) == 3


def test_every_answer_has_the_headers_of_a_closed_page(site):
    for path in ("/", "/page/main.js", "/api/about", "/photo/0/none", "/nothing"):
        _, headers, _ = site.get(path)
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]


def test_the_page_names_no_other_host(site):
    for path in (
        "/",
        "/page/main.js",
        "/page/theme.css",
        "/page/layout.css",
        "/page/photos.css",
        "/page/details.css",
        "/page/icon.svg",
    ):
        text = site.get(path)[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", ""), path


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost.evil"]
)
def test_another_name_is_refused(site, host):
    """A name of somebody else's that points here is DNS rebinding."""
    answer = site.get("/api/about", Host=host)
    assert answer[0] == 403
    assert "--allow-host" in message(answer)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("localhost", 200),
        ("[::1]:7860", 200),
        ("[::1]", 200),
        ("[::2]", 403),
        ("[localhost]", 403),
        ("www.localhost", 403),
        ("localhost@evil.example", 403),
        ("evil.example#localhost", 403),
    ],
)
def test_names_and_addresses_of_this_machine_are_told_from_others(host, status):
    async def app(scope, receive, send):
        await Response()(scope, receive, send)

    answers = []

    async def send(message):
        answers.append(message)

    guard = Guard(app, frozenset({"localhost", "::1"}))
    scope = {"type": "http", "path": "/", "headers": [(b"host", host.encode())]}
    anyio.run(guard, scope, None, send)
    assert answers[0]["status"] == status


def test_pages_of_other_sites_cannot_ask(site):
    body = json.dumps({"strokes": [LINE]}).encode()
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        answer = site.request("POST", "/api/search", body, {"Origin": origin})
        assert answer[0] == 403, origin
    own = {"Origin": site.url.rstrip("/")}
    assert site.request("POST", "/api/search", body, own)[0] == 200
    assert site.request("OPTIONS", "/api/search", None, own)[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/photo/0/../../../../etc/passwd",
        "/photo/0/..%2f..%2f..%2fetc%2fpasswd",
        "/photo/0/%2e%2e/%2e%2e/etc/passwd",
        "/photo/0//etc/passwd",
        "/photo/0/%2fetc%2fpasswd",
        "/photo/0/etc%00passwd",
        "/photo/0/" + "a" * 5000,
        "/photo/0/' or 1=1 --".replace(" ", "%20"),
        "/photo/7/none",
        "/photo/-1/none",
        "/photo/99999999999999999999/none",
        "/page/../server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/....//server.py",
        "/page//etc/passwd",
        "/page/%00",
        "/page/",
        "/../../etc/passwd",
    ],
)
def test_nothing_but_indexed_photos_and_the_page_is_served(site, path):
    status, _, body = site.get(path)
    assert status in (404, 405), (status, body)
    assert b"root:" not in body
    assert b"import" not in body


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="99" height="99">{}</svg>'
)
STROKE = '<path d="M 9 9 L 80 60" stroke="black" fill="none"/>'
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "M 0 0 L 9 9 ">'
    + "".join(f'<!ENTITY {new} "{f"&{old};" * 10}">' for old, new in pairwise("abcdefghi"))
    + ']><svg xmlns="http://www.w3.org/2000/svg"><path d="&i;"/></svg>'
)
USES = SVG.format(
    f'<g id="u0">{STROKE}</g>'
    + "".join(
        f'<g id="u{n}">' + f'<use xlink:href="#u{n - 1}"/>' * 10 + "</g>" for n in range(1, 10)
    )
)
BAD = {
    "text": b"no picture at all",
    "zip": b"PK\x03\x04" + bytes(100),
    "html": b"<!doctype html><script>alert(1)</script>",
    "truncated": png(64, "red")[:60],
    "half_jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "bomb": bomb(30_000),
    "svg_empty": SVG.format("").encode(),
    "svg_broken": b"<svg><path d='M",
    "svg_laughs": LAUGHS.encode(),
    "svg_uses": USES.encode(),
    "svg_outside": (
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + SVG.format("<text>&x;</text>")
    ).encode(),
    "svg_nan": SVG.format('<path d="M nan inf L 1e999 5" stroke="black"/>').encode(),
    "svg_deep": SVG.format("<g>" * 20_000 + STROKE + "</g>" * 20_000).encode(),
    "svg_long": SVG.format(f'<path d="M 0 0 {"L 5 5 9 9 " * 300_000}" stroke="black"/>').encode(),
    "json_deep": b"[" * 200_000 + b"]" * 200_000,
    "strokes_nan": b'{"drawing": [[[NaN, 1], [2, 3]]]}',
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_is_refused_with_a_message(site, name):
    answer = site.request("POST", "/api/sketch", BAD[name])
    assert answer[0] in (400, 413), answer[2][:200]
    assert 10 < len(message(answer)) < 400


def test_an_empty_and_a_huge_upload(site):
    assert (
        message(site.request("POST", "/api/sketch", b"")) == "Nothing was sent: the body is empty."
    )
    answer = site.request("POST", "/api/sketch", bytes(9 << 20))
    assert answer[0] == 413
    assert message(answer) == "At most 8 MB can be sent."
    # Whatever length is claimed: what counts is what comes.
    chunks = b"".join(b"100000\r\n" + bytes(1 << 20) + b"\r\n" for _ in range(9)) + b"0\r\n\r\n"
    answer = site.request("POST", "/api/sketch", chunks, {"Transfer-Encoding": "chunked"})
    assert answer[0] == 413


@pytest.mark.parametrize(
    "inside",
    [
        '<script>fetch("http://127.0.0.1:9/")</script>',
        '<image href="http://127.0.0.1:9/x.png" width="9" height="9"/>',
        '<image href="file:///etc/passwd" width="9" height="9"/>',
        '<use href="http://127.0.0.1:9/x.svg#a"/>',
        '<style>@import url("http://127.0.0.1:9/x.css");</style>',
        '<foreignObject><iframe src="http://127.0.0.1:9/"/></foreignObject>',
    ],
)
def test_svg_with_scripts_and_references_is_its_strokes_alone(site, inside, monkeypatch):
    """Only strokes are read; nothing is fetched, and what is sent back is pixels."""
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError(f"the server opened a connection: {args}")

    plain = site.request("POST", "/api/sketch", SVG.format(STROKE).encode())
    real = socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda s, to: refuse(to) if to[1] == 9 else real(s, to)
    )
    status, headers, body = site.request(
        "POST", "/api/sketch", SVG.format(inside + STROKE).encode()
    )
    if status == 200:
        assert headers["Content-Type"] == "image/png"
        assert body == plain[2]
    else:
        assert status == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Nothing was sent"),
        (b"{", "EOF"),
        (b"[]", "object"),
        (b"\xff\xfe", "JSON"),
        (b"{}", "draw something"),
        (b'{"strokes": 5}', "strokes"),
        (b'{"strokes": [{"x": [1], "y": [1, 2]}]}', "as many x as y"),
        (b'{"strokes": [{"x": [], "y": []}]}', "strokes.0.x"),
        (b'{"strokes": [{"x": ["a"], "y": [1]}]}', "strokes.0.x.0"),
        (b'{"strokes": [{"x": [1e999], "y": [1]}]}', "strokes.0.x.0"),
        (b'{"strokes": [{"x": [NaN], "y": [1]}]}', "strokes.0.x.0"),
        (b'{"strokes": [{"x": [1], "y": [1], "width": 900}]}', "width"),
        (b'{"strokes": [{"x": [1], "y": [1]}], "picture": "data:"}', "one of strokes, picture"),
        (b'{"picture": "http://127.0.0.1:9/x.png"}', "data URL"),
        (b'{"picture": "data:image/png;base64,****"}', "base64"),
        (b'{"like": {"column": 5, "photo": "x"}}', "column"),
        (b'{"like": {"column": 1, "photo": "x"}}', "no such photo"),
        (b'{"like": {"column": 0, "photo": "../../etc/passwd"}}', "no such photo"),
        (b'{"text": "' + b"a" * 300 + b'"}', "text"),
        (b'{"text": "a", "count": 100000}', "count"),
        (b'{"text": "a", "weight": -1}', "weight"),
        (b'{"text": "a", "shell": "ls"}', "shell"),
        (b"[" * 100_000, "recursion"),
        (b'{"strokes": ' + b"[" * 400_000, "recursion"),
        (b'{"text": "' + b" " * (1 << 20) + b'"}', "At most 1 MB"),
    ],
)
def test_a_bad_query_is_refused_with_a_message(site, body, told):
    answer = site.request("POST", "/api/search", body)
    assert answer[0] in (400, 404, 413)
    assert told.lower() in message(answer).lower()


def test_strokes_and_points_are_bounded(site):
    many = [{"x": [1, 2], "y": [1, 2]}] * 1001
    assert site.search(strokes=many)[0] == 400
    long = {"x": list(range(1, 10_001)) * 2, "y": [1.5] * 20_000}
    start = time.monotonic()
    assert site.search(strokes=[long])[0] == 200
    assert time.monotonic() - start < 5
    long["x"].append(1)
    long["y"].append(1)
    status, answer = site.search(strokes=[long])
    assert (status, answer["error"]) == (400, "a drawing has at most 20,000 points.")


def test_too_many_at_once_are_told_to_come_again(column):
    """Those that wait are bounded; more are refused at once, and later all goes on."""
    held = threading.Event()

    class Held:
        def query(self, image):
            assert held.wait(30)
            return column.model.query(image)

    refused = threading.Semaphore(0)
    answers = []
    body = json.dumps({"strokes": [LINE]}).encode()

    def ask():
        status, headers, _ = site.request("POST", "/api/search", body)
        answers.append((status, headers["Retry-After"]))
        refused.release()

    with running([Column("held", column.index, Held())], Limits(searches=2)) as site:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(5):  # one is inside, two wait
            assert refused.acquire(timeout=10)
        held.set()
        for thread in threads:
            thread.join(10)
        assert sorted(answers, key=str) == [(200, None)] * 3 + [(503, "1")] * 5
        assert site.search(strokes=[LINE])[0] == 200


@pytest.mark.slow
def test_fifty_clients_for_three_seconds(site):
    """The minute of the real server is in test_demo_load.py."""
    figures = storm(site.port, CLIENTS, 3)
    print(figures)
    assert figures.broken == []
    assert set(figures.statuses) <= EXPECTED
    assert figures.statuses[200] > 50


def test_a_sketch_that_takes_forever_is_given_up(site):
    """Its process is ended, and meanwhile queries are answered."""
    slow = SVG.format(f'<path d="M 0 0{"a9 9 0 1 1 9 9" * 30_000}" stroke="black"/>').encode()
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(site.request("POST", "/api/sketch", slow))
    )
    thread.start()
    while thread.is_alive():
        assert site.search(strokes=[LINE])[0] == 200
    assert answers[0][0] == 400
    assert message(answers[0]) == "The sketch was not read within 1 seconds. Send a simpler one."


@pytest.mark.slow
def test_after_a_sketch_that_took_forever_the_next_one_is_read(site):
    """By another process, which takes some seconds to start; so after the test above."""
    assert site.request("POST", "/api/sketch", SVG.format(STROKE).encode())[0] == 200
