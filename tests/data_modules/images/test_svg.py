"""SVG files: what cannot be seen is no ink, what is seen is drawn."""

import numpy as np
import pytest

from data_modules.images.decode import UnreadableImageError
from data_modules.images.drawings import render_drawing

PAGE = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'viewBox="0 0 100 100">{}</svg>'
)
SQUARE = '<path d="M20 20H80V80H20Z" fill="none" stroke="black"/>'
CROSS = '<path d="M0 0L100 100M100 0L0 100" fill="none" stroke="black" {}/>'
OPAQUE = CROSS.format('opacity="1"')
GERMAN = CROSS.format('systemLanguage="de"')
CLONE = '<use xlink:href="#it" {}/>'


def drawn(folder, content, page=PAGE):
    (folder / "a.svg").write_text(page.format(content))
    return render_drawing(folder / "a.svg", 32)


def cross(more=""):
    return CROSS.format(more)


def colored(stroke):
    return cross().replace("black", stroke)


def within(tag, content=None, more=""):
    return f"<{tag} {more}>{content or OPAQUE}</{tag}>"


TRANSPARENT = [
    *("transparent", "none", "rgba(0,0,0,0)", "rgba(0, 0, 0, 0%)", "rgb(0 0 0 / 0)"),
    *("#00000000", "#0000", "hsla(0,0%,0%,0)", "white", "#FFF", "rgb(255,255,255)", "#fefefe"),
]
HIDDEN = {
    "visibility": cross('visibility="hidden"'),
    "collapse": cross('style="visibility: collapse"'),
    "display": cross('style="display:none !important"'),
    "group": within("g", more='style="visibility:hidden"'),
    "class": "<style>.a, .b {visibility:hidden}</style>" + cross('class="b"'),
    "class below": cross('class="b"')
    + "<style>@media print {.b{fill:red}} .b{display:none}</style>",
    "opacity": cross('opacity="0"'),
    "opacity in per cent": cross('style="opacity:0%"'),
    "faint": cross('stroke-opacity="0.04"'),
    "opacity of a group": within("g", more='opacity="0"'),
    "opacities multiply": within("g", within("a", more='opacity=".2"'), 'style="opacity:.2"'),
    "stroke-opacity": cross('stroke-opacity="0"'),
    "of color and stroke": cross('stroke-opacity="1"').replace("black", "rgba(0,0,0,0)"),
    **{f"stroke {color}": colored(color) for color in TRANSPARENT},
    "current color": within("g", colored("currentColor"), 'color="white"'),
    "width": cross('style="stroke-width:0px"'),
    "nested page": within("svg", more='visibility="hidden"'),
    "clone": f'<defs><g id="it">{OPAQUE}</g></defs>' + CLONE.format('opacity="0"'),
    "switch": f"<switch><g/>{cross()}</switch>",
    "switch of an extension": within("switch", cross('requiredExtensions="x"')),
    **{
        tag: within(tag)
        for tag in ("defs", "symbol", "clipPath", "mask", "marker", "pattern", "foreignObject")
    },
}
SEEN = {
    "visible in a hidden group": within("g", cross('visibility="visible"'), 'visibility="hidden"'),
    "inherited": within("g", cross('visibility="inherit"'), 'visibility="visible"'),
    "half transparent": cross('opacity="0.5"'),
    "pale": colored("#eee"),
    "link": within("a"),
    "switch": f'<switch><foreignObject requiredExtensions="x"/>{cross()}{SQUARE}</switch>',
    "language": f"<switch>{GERMAN}{cross()}</switch>",
    "symbol": f'<symbol id="it">{cross()}</symbol>' + CLONE,
    "symbol of a hidden page": f'<svg style="display:none"><symbol id="it">{cross()}</symbol></svg>'
    + CLONE,
    "scaled symbol": f'<symbol id="it" viewBox="0 0 200 200">{cross()}</symbol>'
    + CLONE.format('x="0" y="0" width="200" height="200"'),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_not_seen_is_no_ink(tmp_path, name):
    alone = drawn(tmp_path, SQUARE)
    assert (drawn(tmp_path, SQUARE + cross()) != alone).any()
    assert (drawn(tmp_path, SQUARE + HIDDEN[name]) == alone).all()
    with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
        drawn(tmp_path, HIDDEN[name])


@pytest.mark.parametrize("name", SEEN)
def test_what_is_seen_is_drawn(tmp_path, name):
    expected = drawn(tmp_path, SQUARE + cross())
    assert (drawn(tmp_path, SQUARE + SEEN[name].replace("{}", "")) == expected).all()


def test_ink_differs_from_the_paper(tmp_path):
    black, page = drawn(tmp_path, SQUARE), '<rect width="100" height="100" fill="{}"/>'
    chalk = SQUARE.replace("black", "white")
    assert (drawn(tmp_path, page.format("black") + chalk + cross()) == black).all()
    assert (drawn(tmp_path, page.format("white") + SQUARE) == black).all()
    # A page whose color stands elsewhere hides nothing.
    assert (drawn(tmp_path, page.format("black") + SQUARE) == black).all()


def test_without_strokes_outlines_of_what_is_filled_are_drawn(tmp_path):
    filled = SQUARE.replace('fill="none" stroke="black"', "")
    page = '<rect width="100" height="100" fill="white"/>'
    assert (drawn(tmp_path, page + filled) == drawn(tmp_path, SQUARE)).all()
    with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
        drawn(tmp_path, page)


def test_a_clone_of_itself_is_named(tmp_path):
    with pytest.raises(UnreadableImageError, match="Cannot read image"):
        drawn(tmp_path, within("g", CLONE.format(""), 'id="it"'))


def test_pages_without_a_name_space_are_read(tmp_path):
    page = PAGE.replace('xmlns="http://www.w3.org/2000/svg" ', "")
    hidden = within("mask") + within("g", more='visibility="hidden"')
    assert np.array_equal(drawn(tmp_path, SQUARE + hidden, page), drawn(tmp_path, SQUARE))
