"""What a person does with the demo's page, and what they see there."""

import re
from typing import Any


def draw(page: Any, drawing: Any) -> None:
    """Stroke by stroke with the mouse, as a person would."""
    box = page.locator("#canvas").bounding_box()
    scale = 0.7 * box["width"] / 255
    left, top = box["x"] + 0.15 * box["width"], box["y"] + 0.15 * box["height"]
    for xs, ys in drawing:
        points = [(left + scale * x, top + scale * y) for x, y in zip(xs, ys, strict=True)]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=3)
        page.mouse.up()


def finger(page: Any, stroke: Any) -> None:
    """One stroke by touch; Playwright itself can only tap."""
    box = page.locator("#canvas").bounding_box()
    scale = box["width"] / 340
    points = [
        {"x": box["x"] + scale * (x + 40), "y": box["y"] + scale * (y + 40)}
        for x, y in zip(*stroke, strict=True)
    ]
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
    for kind, point in zip(kinds, points, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def settle(page: Any) -> None:
    """Wait until the photos are those of what is on the paper."""
    page.wait_for_selector("#columns[aria-busy=false]:not([hidden])")


def names(page: Any, column: int = 0) -> list[str]:
    """Captions in rank order."""
    return page.locator(".tiles").nth(column).locator(".caption").all_text_contents()


def ink(page: Any) -> int:
    """Dark pixels on the paper."""
    return page.evaluate(
        """() => {
          const canvas = document.querySelector('#canvas');
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          let dark = 0;
          for (let i = 3; i < data.length; i += 4) dark += data[i] > 128;
          return dark;
        }"""
    )


def overflows(page: Any) -> bool:
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth > {root}.clientWidth")


def upload(page: Any, name: str, content: bytes) -> None:
    page.locator("#file").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def luminance(colour: str) -> float:
    values = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def tap(page, selector: str, opened: str) -> None:
    """Tap as a person does, who taps again where the page moved under the finger."""
    from playwright.sync_api import TimeoutError as TooLate  # optional, as the browser is

    for last in (False, False, True):
        page.locator(selector).first.tap()
        try:
            page.wait_for_selector(opened, timeout=3000)
            return
        except TooLate:
            if last:
                raise
