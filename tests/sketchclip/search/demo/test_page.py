"""The demo's page in a real browser, against a real server with the shipped mini CLIP."""

import io
import json
import re
import shutil
import zipfile
from importlib.resources import files
from math import comb
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules import Doodles
from data_modules.bundled import read_doodles
from data_modules.splits.split import packaged_list
from sketchclip.pretrained.model import load_model
from sketchclip.search.demo.columns import Column, bundled_columns, examples
from sketchclip.search.index import PhotoIndex
from sketchclip.search.update import index_photos
from tests.helpers.demo import running
from tests.helpers.pages import draw, finger, ink, luminance, names, overflows, settle, tap, upload

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the PATH"
)
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
TOP = 10


@pytest.fixture(scope="module")
def column(tmp_path_factory):
    """The small CLIP and the photos of every twelfth class."""
    place = tmp_path_factory.mktemp("index")
    chosen = {*[*read_doodles()][::12], "cat"}
    with zipfile.ZipFile(files("data_modules") / "benchmarks" / Doodles.archive) as archive:
        names = archive.namelist()
        archive.extractall(place, [n for n in names if Path(n).parent.name in chosen])
    model = load_model("frozen", "sketchclip-mini", device="cpu")
    index_photos([place / "photo"], model, str(place / "index"), progress=False)
    return Column(model.name, PhotoIndex.open(str(place / "index")), model)


@pytest.fixture(scope="module")
def site(column):
    with running([column], examples=examples()) as site:
        yield site


@pytest.fixture(scope="module")
def both(column):
    with running([column, column], full_paths=False) as both:
        yield both


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, site):
    """Pages that must not fail in any way, nor ask anything of another host."""
    faults: list[str] = []
    contexts = []

    def open_page(at: Any = site, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.on(
            "request",
            lambda r: r.url.startswith((at.url, "data:", "blob:")) or faults.append(r.url),
        )
        page.goto(at.url)
        page.wait_for_selector("#about:not(:empty)")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page):
    return open_page()


CAT = read_doodles()["cat"][0]
SHAPE = [[[20, 230, 120, 20], [30, 40, 220, 30]]]
LINE = [[[20, 230], [20, 230]]]


def test_photos_appear_while_a_stroke_is_drawn(page):
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 200, steps=12)
    page.wait_for_selector(".tiles .tile")  # the button is still down
    page.mouse.up()
    settle(page)
    assert len(names(page)) == 24
    assert page.locator("#told").text_content() == "24 best"


@pytest.mark.slow
def test_unseen_classes_are_found_by_drawing(open_page):
    """Twenty unseen classes: their photos are among the first ten more often than by chance."""
    doodles, unseen = read_doodles(), packaged_list("doodles", "unseen")
    chosen = unseen[:: len(unseen) // 20][:20]
    with running(bundled_columns(["frozen"], "cpu")) as site:
        page = open_page(site)
        gallery = json.loads(site.get("/api/about")[2])["columns"][0]["photos"]
        own = len(site.search(text="it", class_name=chosen[0], count=60)[1]["results"][0])
        assert (gallery, own) == (1170, 5)
        found = []
        for name in chosen:
            draw(page, doodles[name][0])
            settle(page)
            found.append(name.replace("_", " ") in names(page)[:TOP])
            page.locator("#clear").click()
        page.close()
    chance = 1 - comb(gallery - own, TOP) / comb(gallery, TOP)
    hits = sum(found)
    p = sum(comb(20, k) * chance**k * (1 - chance) ** (20 - k) for k in range(hits, 21))
    print(f"{hits} of 20 unseen classes in the first {TOP}; chance {20 * chance:.2f}; p = {p:.1e}")
    assert p < 1e-4  # five of twenty; chance finds 0.8


def test_undo_redo_clear_and_eraser(page):
    drawn = []
    for stroke in CAT[:2]:
        draw(page, [stroke])
        drawn.append(ink(page))
    assert 0 < drawn[0] < drawn[1]
    page.keyboard.press("Control+z")
    page.wait_for_timeout(50)
    assert ink(page) == drawn[0]
    page.keyboard.press("Control+Shift+Z")
    page.wait_for_timeout(50)
    assert ink(page) == drawn[1]
    page.locator("#clear").click()
    page.wait_for_timeout(50)
    assert ink(page) == 0
    assert page.locator("#start").is_visible()
    page.locator("#undo").click()
    settle(page)
    assert ink(page) == drawn[1]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert page.locator("#undo").is_disabled()

    draw(page, LINE)
    whole = ink(page)
    page.locator("input[value=eraser]").check()
    draw(page, [[[100, 150], [150, 100]]])  # across the line
    page.mouse.move(0, 0)
    page.wait_for_timeout(50)
    assert 0.5 * whole < ink(page) < whole
    sent = []
    page.on("request", lambda r: r.method == "POST" and sent.append(json.loads(r.post_data)))
    page.locator("#undo").click()
    page.locator("#redo").click()
    settle(page)
    assert [len(query["strokes"]) for query in sent][-1] == 2  # cut, and still strokes


def test_a_drawing_is_sharp_and_lines_are_as_wide_as_chosen(open_page):
    page = open_page(device_scale_factor=2)
    assert page.evaluate("canvas.width === 2 * canvas.clientWidth")
    inks = []
    for width in ("0.6", "1", "1.8"):
        page.locator(f"input[name=width][value='{width}']").check()
        draw(page, LINE)
        inks.append(ink(page))
        page.locator("#clear").click()
    assert inks[0] < 0.75 * inks[1] < 0.5 * inks[2]


def test_text_weight_and_class(page):
    draw(page, SHAPE)
    settle(page)
    assert page.locator("#weight").is_disabled()
    by_drawing = names(page)
    page.locator("#text").fill("green")
    settle(page)
    assert page.locator("#weight").is_enabled()
    both = names(page)
    page.locator("#weight").fill("100")
    settle(page)
    by_text = names(page)
    assert by_drawing != both != by_text
    page.locator("#class").select_option("cat")
    settle(page)
    assert set(names(page)) == {"cat"}
    assert len(names(page)) == 5
    page.locator("#clear").click()  # the text stays, and is a question of its own
    settle(page)
    assert len(names(page)) == 5


def test_details_and_more_like_this(page):
    draw(page, SHAPE)
    settle(page)
    first = names(page)[0]
    page.locator(".tiles .tile").first.click()
    details = page.locator("#details")
    facts = details.locator("dd").all_text_contents()
    assert facts[:2] == [first, "1 of 24"]
    assert re.fullmatch(r"0\.\d{4}", facts[2])
    assert facts[3].endswith(".webp")
    assert page.evaluate("document.querySelector('#details-photo').decode().then(() => true)")
    page.keyboard.press("ArrowRight")
    assert details.locator("dd").nth(1).text_content() == "2 of 24"
    page.keyboard.press("ArrowLeft")
    page.locator("#more").click()
    settle(page)
    assert names(page)[0] == first
    assert page.locator("#picture").is_visible()
    assert ink(page) == 0
    page.keyboard.press("Control+z")
    settle(page)
    assert ink(page) > 0
    assert page.locator("#picture").is_hidden()


def test_upload_drop_and_a_file_that_is_none(page):
    lines = "".join(
        "<polyline points='{}'/>".format(" ".join(f"{x},{y}" for x, y in zip(*stroke, strict=True)))
        for stroke in CAT
    )
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' fill='none' stroke='black'>{lines}</svg>"
    upload(page, "cat.svg", svg.encode())
    page.wait_for_selector("#picture:not([hidden])", timeout=60_000)  # a process starts
    settle(page)
    uploaded = names(page)
    page.locator("#clear").click()
    draw(page, CAT)
    settle(page)
    assert len({*uploaded} & {*names(page)}) >= 5  # the same cat, by another way

    picture = io.BytesIO()
    image = Image.new("RGB", (40, 30), "white")
    image.paste("black", (10, 10, 30, 14))
    image.save(picture, "PNG")
    drop = """([content]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(content)], 'a.png', {type: 'image/png'}));
      document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}));
    }"""
    page.evaluate(drop, [list(picture.getvalue())])
    page.wait_for_selector("#picture:not([hidden])")
    settle(page)


def test_a_file_that_is_no_sketch_is_told(browser, site):
    """Not by open_page: the browser notes the refusal as an error."""
    page = browser.new_page()
    page.goto(site.url)
    draw(page, LINE)
    settle(page)
    upload(page, "notes.txt", b"no sketch at all")
    page.wait_for_selector("#status.error", timeout=60_000)
    assert "Cannot read" in page.locator("#told").text_content()
    assert ink(page) > 0  # the drawing is still there
    page.close()


def test_save_as_png(page):
    draw(page, SHAPE)
    settle(page)
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "sketchclip.png"
    with Image.open(download.value.path()) as image:
        assert image.format == "PNG"
        assert image.width > 600
        assert len(image.getcolors(1 << 24)) > 1000


def test_two_models_side_by_side(open_page, both):
    page = open_page(both)
    draw(page, SHAPE)
    settle(page)
    left, right = names(page, 0), names(page, 1)
    assert len(left) == len(right) == 24
    boxes = [page.locator(".column").nth(n).bounding_box() for n in range(2)]
    assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]
    page.locator(".tiles").nth(1).locator(".tile").first.click()
    assert page.locator("#details dd").last.text_content().count("/") == 1  # no whole path
    page.locator("#more").click()
    settle(page)
    assert names(page, 1)[0] == right[0]


@pytest.mark.parametrize("columns", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_phone(open_page, site, both, columns):
    page = open_page(
        site if columns == 1 else both,
        viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True
    )  # fmt: skip
    assert not overflows(page)
    finger(page, CAT[0])
    settle(page)
    assert not overflows(page)
    assert page.locator(".tiles .tile").first.bounding_box()["y"] < PHONE["height"] - 60
    for control in page.locator(".tool, .button, .tile").all():
        if control.is_visible():
            box = control.bounding_box()
            assert min(box["width"], box["height"]) >= 34, control
    page.locator("summary").click()
    assert page.locator("#text").is_visible()
    tap(page, ".tiles .tile", "#details[open]")
    assert not overflows(page)
    box = page.locator("#details").bounding_box()
    assert box["width"] <= PHONE["width"]
    assert box["height"] <= PHONE["height"]
    page.locator("#close").tap()


def test_keyboard_alone(page):
    def focused() -> str:
        return page.evaluate(
            "document.activeElement.id || document.activeElement.getAttribute('aria-label')"
            " || document.activeElement.value || document.activeElement.tagName"
        )

    page.keyboard.press("Tab")
    assert focused() == "canvas"
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        for _ in range(6):
            page.keyboard.press(key)
    page.keyboard.press("Space")
    settle(page)
    assert ink(page) > 100
    page.keyboard.press("3")
    assert page.locator("input[name=width][value='1.8']").is_checked()
    page.keyboard.press("e")
    assert page.locator("input[value=eraser]").is_checked()
    page.keyboard.press("p")
    stops = []
    for _ in range(9):
        page.keyboard.press("Tab")
        stops.append(focused())
    assert stops[:7] == ["pen", "1.8", "undo", "clear", "file", "text", "class"]
    while not (focused() or "").startswith("1. "):  # one stop for all photos
        page.keyboard.press("Tab")
        assert len(stops) < 20
        stops.append(focused())
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowRight")
    assert focused().startswith("2. ")
    page.keyboard.press("ArrowDown")
    assert focused().startswith("7. ")
    page.keyboard.press("End")
    assert focused().startswith("24. ")
    page.keyboard.press("Enter")
    assert focused() == "more"
    page.keyboard.press("Escape")
    assert focused().startswith("24. ")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # more like this
    settle(page)
    assert page.locator("#picture").is_visible()


def test_examples(page):
    page.locator("#examples button").first.click()
    settle(page)
    assert ink(page) > 0
    assert page.locator("#start").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(open_page, scheme):
    """WCAG AA: 4.5 for text, on what is really behind it."""
    page = open_page(color_scheme=scheme)
    draw(page, SHAPE)
    settle(page)
    page.locator("#text").fill("red")
    settle(page)
    page.locator(".tiles .tile").first.click()
    found = page.evaluate(
        """() => [...document.querySelectorAll('h1, h2, h3, p, label, summary, dt, dd, .caption, .end, button, select, input, .note')]
          .filter((e) => e.offsetParent && e.textContent.trim())
          .map((e) => {
            let behind = e;
            while (/, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
            return [e.textContent.trim().slice(0, 30), getComputedStyle(e).color, getComputedStyle(behind).backgroundColor];
          })"""  # noqa: E501
    )
    assert len(found) > 20
    for text, colour, behind in found:
        low, high = sorted((luminance(colour), luminance(behind)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, colour, behind)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(dark) < 0.05) == (scheme == "dark")


@pytest.mark.slow
def test_less_motion(open_page):
    moves = "document.getAnimations().length"
    for motion, expected in (("no-preference", True), ("reduce", False)):
        page = open_page(reduced_motion=motion)
        draw(page, LINE)
        settle(page)
        page.evaluate("document.querySelector('.tiles .tile').click()")
        assert bool(page.evaluate(moves)) is expected


def test_a_busy_and_a_dead_server_are_told(browser, site):
    """The page asks again, and says what is wrong; not by open_page, as requests fail here."""
    page = browser.new_page()
    page.goto(site.url)
    answers = iter([503])

    def refuse(route):
        if next(answers, None):
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"error": "Too many."})
        else:
            route.continue_()

    page.route("**/api/search", refuse)
    draw(page, LINE)
    page.wait_for_selector("#status.error")
    assert page.locator("#told").text_content() == "The server is busy; trying again."
    settle(page)
    assert page.locator("#told").text_content() == "24 best"
    page.route("**/api/search", lambda route: route.abort())
    draw(page, LINE)
    page.wait_for_selector("#status.error")
    assert "still running" in page.locator("#told").text_content()
    page.close()


def test_one_request_at_a_time_and_no_stale_photos(browser, site):
    """With a slow server a cleared paper stays clear, and queries do not pile up."""
    page = browser.new_page()
    page.goto(site.url)
    under_way, most = 0, 0

    def delay(route):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        page.wait_for_timeout(150)
        under_way -= 1
        route.continue_()

    page.route("**/api/search", delay)
    draw(page, CAT)
    page.locator("#clear").click()
    page.wait_for_timeout(500)
    assert page.locator("#start").is_visible()
    assert names(page) == []
    page.close()
