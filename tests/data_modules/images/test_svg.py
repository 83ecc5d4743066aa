"""SVG files: what cannot be seen is no ink, what is seen is drawn."""

import numpy as np
import pytest

from data_modules.images.decode import UnreadableImageError
from data_modules.images.drawings import read_strokes, render_drawing

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
WHITE_RECT = '<rect width="100" height="100" fill="{}"/>'
MASK = '<mask id="m">{}</mask>' + cross('mask="url(#m)"')
CLIP = '<clipPath id="c">{}</clipPath>' + cross('clip-path="url(#c)"')
HIDDEN |= {
    name: f"<style>{sheet}</style>" + within("g", cross(more), 'class="l" id="i"')
    for name, sheet, more in (
        ("descendant", "g.l path{display:none}", ""),
        ("far descendant", "svg #i path{display:none}", ""),
        ("child", ".l > path{display:none}", ""),
        ("child without spaces", "svg>g>path{display:none}", ""),
        ("compound", "path.a.h{display:none}", 'class="h a"'),
        ("attribute", "[data-h]{display:none}", 'data-h=""'),
        ("attribute of a value", "path[data-h='1 2']{display:none}", 'data-h="1 2"'),
        ("list", "circle, g path , rect{visibility:hidden}", ""),
        ("any", ".l *{opacity:0}", ""),
        ("in CDATA", "<![CDATA[ .l path{display:none} ]]>", ""),
        ("in any case", ".l path{DISPLAY: None}", ""),
        ("comment", "/* path{} */ .l path/**/{display:none}", ""),
        ("media", "@media screen {.l path{display:none}}", ""),
        ("important", ".l path{display:none !important}", 'style="display:inline"'),
        ("important and special", ".l path{display:none!important} #p{display:inline}", 'id="p"'),
        ("specificity", ".l path{display:none} path{display:inline}", ""),
        ("id before class", "#p{display:none} .a.b{display:inline}", 'id="p" class="a b"'),
        ("last of equals", ".a{display:inline} .b{display:none}", 'class="b a"'),
        ("variable", ":root{--x:none} .l path{display:var(--x)}", ""),
        ("end of file", ".l path{display:none", ""),
    )
}
HIDDEN |= {
    "display in any case": cross('style="DISPLAY: NONE"'),
    "visibility in any case": cross('visibility="Hidden"'),
    "fallback of a variable": cross('style="stroke:var(--x, none)"'),
    "missing paint": colored("url(#missing)"),
    "fallback of a paint": colored("url(#missing) none"),
    "gradient without stops": '<linearGradient id="e"/>' + colored("url(#e)"),
    "white gradient": '<linearGradient id="w"><stop stop-color="#fff"/></linearGradient>'
    + colored("url(#w)"),
    "filter": cross('style="filter:opacity(0)"'),
    "empty filter": '<filter id="f"/>' + cross('filter="url(#f)"'),
    "dashes of no length": cross('stroke-dasharray="0 1000"'),
    "dashes in a style": cross('style="stroke-dasharray: 0, 9"'),
    "empty clip path": CLIP.format(""),
    "clip path of a hidden shape": CLIP.format('<path d="M0 0H100V100" display="none"/>'),
    "clip path elsewhere": CLIP.format('<rect x="200" width="9" height="9"/>'),
    "clip path of no size": CLIP.format('<rect width="0" height="100"/>'),
    "clipped group": '<clipPath id="c"/>' + within("g", more='style="clip-path:url(#c)"'),
    "empty mask": MASK.format(""),
    "black mask": MASK.format('<rect width="100" height="100"/>'),
    "transparent mask": MASK.format('<rect width="100" height="100" fill="#fff" opacity="0"/>'),
    "mask elsewhere": MASK.format('<rect x="200" width="9" height="9" fill="#fff"/>'),
    "nested page of no size": within("svg", more='width="0" height="0"'),
    "nested page elsewhere": within("svg", more='x="200" width="9" height="9"'),
    "out of a nested view box": within(
        "svg", more='viewBox="500 500 9 9" width="100" height="100"'
    ),
    "out of a symbol": f'<symbol id="it" viewBox="500 0 9 9">{cross()}</symbol>' + CLONE.format(""),
    "off the page": cross('transform="translate(5000,5000)"'),
    "group off the page": within("g", more='transform="translate(0 -200)"'),
    "of no size": cross('transform="scale(0)"'),
    "clone of itself": within("g", CLONE.format(""), 'id="it"'),
    "clones of each other": f'<g id="it">{CLONE.replace("#it", "#at")}</g>'
    f'<g id="at">{CLONE}</g>'.replace("{}", ""),
    "clone of nothing": CLONE.format("").replace("#it", "#none"),
    "language": GERMAN,
}
SEEN = {
    "class without ink": "<style>.a{display:none}</style>" + cross('class="b"'),
    "not a child": "<style>svg > path{opacity:1} .l > path{display:none}</style>"
    + within("g", within("a", cross()), 'class="l"'),
    "state of a mouse": "<style>path:hover{display:none}</style>" + cross(),
    "print": "<style>@media print{path{display:none}}</style>" + cross(),
    "print sheet": '<style media="print">path{display:none}</style>' + cross(),
    "harmless selector": "<style>text:nth-child(2){font-size:9px}</style>" + cross(),
    "inline before sheet": "<style>.b{display:none}</style>"
    + cross('class="b" style="display:inline"'),
    "sheet before attribute": "<style>.b{stroke:black}</style>"
    + colored("white").replace("<path", '<path class="b"'),
    "variable": cross('style="--x:black;stroke:var(--x, none)"'),
    "no color": within("g", cross('style="stroke:nonsense"'), 'stroke="black"'),
    "paint with a fallback": colored("url(#missing) black"),
    "gradient": '<linearGradient id="e"><stop stop-color="#fff"/><stop/></linearGradient>'
    + colored("url(#e)"),
    "dashes": cross('stroke-dasharray="3 2"'),
    "dots": cross('stroke-dasharray="0 3" stroke-linecap="round"'),
    "no dashes": cross('stroke-dasharray="none"'),
    "dashes of a sum of 0": cross('stroke-dasharray="0"'),
    "no clip path": cross('clip-path="none"'),
    "missing clip path": cross('clip-path="url(#missing)"'),
    "page as clip path": CLIP.format('<rect width="100" height="100"/>'),
    "page as a path": CLIP.format('<path d="M-1-1H101V101H-1z"/>'),
    "circle as clip path": CLIP.format('<circle cx="50" cy="50" r="90"/>'),
    "page as mask": MASK.format('<rect width="100" height="100" fill="white"/>'),
    "page as alpha mask": MASK.replace("<mask", '<mask style="mask-type:alpha"').format(
        '<rect width="100" height="100"/>'
    ),
    "filter": cross('filter="none"'),
    "shadow": cross('style="filter:drop-shadow(1px 1px)"'),
    "nested page": within("svg", more='width="100" height="100"'),
    "nested page that shows all": within("svg", more='width="1" height="1" overflow="visible"'),
    "covered before": WHITE_RECT.format("white") + SQUARE + cross(),
    "covered in part": cross() + '<rect width="60" height="60" fill="white"/>' + SQUARE,
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


def test_pages_without_a_name_space_are_read(tmp_path):
    page = PAGE.replace('xmlns="http://www.w3.org/2000/svg" ', "")
    hidden = within("mask") + within("g", more='visibility="hidden"')
    assert np.array_equal(drawn(tmp_path, SQUARE + hidden, page), drawn(tmp_path, SQUARE))


@pytest.mark.parametrize(
    "cover",
    [
        WHITE_RECT.format("white"),
        '<path d="M-1-1H101V101H-1z" fill="#fff"/>',
        '<circle cx="50" cy="50" r="80" style="fill:rgb(100% 100% 100%)"/>',
        within("g", WHITE_RECT.format("white"), 'fill="red"'),
    ],
)
def test_what_is_covered_later_is_no_ink(tmp_path, cover):
    alone = drawn(tmp_path, SQUARE)
    assert (drawn(tmp_path, cross() + cover + SQUARE) == alone).all()
    assert (
        drawn(tmp_path, SQUARE + cross() + cover.replace("<", "<!-- <", 1) + " -->") != alone
    ).any()
    with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
        drawn(tmp_path, cross() + cover)


def test_ink_is_what_differs_from_its_ground(tmp_path):
    black, chalk = drawn(tmp_path, SQUARE), SQUARE.replace("black", "white")
    disc = '<circle cx="50" cy="50" r="49"/>'
    dark = PAGE.replace("<svg", '<svg style="background:#000"')
    assert (drawn(tmp_path, disc + chalk) == black).all()
    assert (drawn(tmp_path, chalk + cross(), dark) == black).all()
    grey = WHITE_RECT.format("#eee")
    shape = '<path d="M20 20H80V80H20Z" fill="{}"/>'
    assert (drawn(tmp_path, grey + shape.format("#222")) == black).all()
    for nothing in (grey, grey + shape.format("#eee"), grey + shape.format("rgb(238 238 238)")):
        with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
            drawn(tmp_path, nothing)
    twice = shape.format("#222") + shape.format("#333")
    assert (drawn(tmp_path, twice) == black).all()
    with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
        drawn(tmp_path, twice + shape.format("white"))
    with pytest.raises(UnreadableImageError, match="no stroke that can be seen"):
        drawn(tmp_path, SQUARE, dark)


def test_lines_are_cut_where_a_browser_cuts_them(tmp_path):
    inner = '<svg x="20" y="20" width="60" height="60">{}</svg>'
    clip = '<clipPath id="c"><rect x="20" y="20" width="60" height="60"/></clipPath>'
    line = '<path d="M-400 50H400" stroke="black" {}/>'
    for content in (
        inner.format(line.replace("50", "30")),
        clip + line.format('clip-path="url(#c)"'),
    ):
        (tmp_path / "a.svg").write_text(PAGE.format(content.replace("{}", "")))
        (stroke,) = read_strokes(tmp_path / "a.svg")
        assert np.abs(stroke - [(20, 50), (80, 50)]).max() <= 0.5  # half the width of the pen


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("<style>path:nth-child(2){display:none}</style>", r"path:nth-child\(2\)"),
        ("<style>path + path{opacity:0}</style>", r"path \+ path"),
        ("<style>path:not(.a){stroke:none}</style>", r"path:not\(.a\)"),
        ("<style>@media (min-width:9px){path{opacity:0}}</style>", "min-width:9px"),
        ("<style>@supports (x:y){path{opacity:0}}</style>", "@supports"),
        ("<style>g{path{opacity:0}}</style>", "nests rules in 'g'"),
        (cross('clip-path="inset(9px)"'), "clip-path 'inset"),
        (CLIP.format('<path d="M0 0L50 10L100 0V100z"/>'), "clip-path 'url"),
        (CLIP.format("<text>A</text>"), "clip-path 'url"),
        (MASK.format('<rect width="9" height="9" fill="#888"/>'), "mask 'url"),
        (MASK.format('<image href="a.png"/>'), "mask 'url"),
        (cross('mask="url(#missing)"'), "mask 'url"),
        ('<filter id="f"><feFlood/></filter>' + cross('filter="url(#f)"'), "filter 'url"),
        (cross('style="filter:blur(9px)"'), "filter 'blur"),
        (cross('style="opacity:calc(1 - 1)"'), r"opacity is computed by calc\(\)"),
        (colored("oklch(1 0 0)"), "color 'oklch"),
        (CLONE.replace("#it", "b.svg#it"), "b.svg#it.* of another file"),
        ('<circle r="2em" stroke="black"/>', "r '2em' needs a font"),
        ("<g>" * 3000 + "</g>" * 3000, "nested more than 150 deep"),
        ("<g>" * 100_000 + "</g>" * 100_000, "nested more than 150 deep"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(tmp_path, content, named):
    with pytest.raises(UnreadableImageError, match=named):
        drawn(tmp_path, SQUARE + content.replace("{}", ""))


@pytest.mark.parametrize(
    "content", ['mask="url(#m)"', 'filter="url(#m)"', 'clip-path="circle(1px)"']
)
def test_what_is_hidden_anyway_is_not_refused(tmp_path, content):
    hidden = within("g", cross(f'display="none" {content}') + cross(f'opacity="0" {content}'))
    assert (drawn(tmp_path, SQUARE + hidden) == drawn(tmp_path, SQUARE)).all()


@pytest.mark.slow
def test_clones_of_clones_are_limited(tmp_path):
    line = '<path id="g0" d="{}" stroke="black"/>'
    more = "".join(f'<g id="g{i + 1}">' + f'<use href="#g{i}"/>' * 10 + "</g>" for i in range(6))
    for path, last in (("M20 20H80", 6), ("M20 20" + "H80H20" * 1000, 4)):
        bomb = f"<defs>{line.format(path)}{more}</defs>" + f'<use href="#g{last}"/>'
        with pytest.raises(
            UnreadableImageError, match=r"clones \(<use>\).* more than 10,000 elements or"
        ):
            drawn(tmp_path, bomb)
    chain = "".join(f'<g id="h{i + 1}"><use href="#h{i}"/></g>' for i in range(900))
    with pytest.raises(UnreadableImageError, match="nested more than 150 deep"):
        drawn(
            tmp_path, line.format("M0 0H9") + f'<defs><g id="h0"/>{chain}</defs><use href="#h900"/>'
        )


def test_sizes_in_units_of_a_font_leave_the_view_box(tmp_path):
    page = PAGE.replace("<svg", '<svg width="10em" height="5ex"')
    assert (drawn(tmp_path, SQUARE + cross(), page) == drawn(tmp_path, SQUARE + cross())).all()
    with pytest.raises(UnreadableImageError, match="width '10em' needs a font"):
        drawn(tmp_path, SQUARE, page.replace("viewBox", "data-box"))


def test_exports_of_drawing_programs_keep_their_ink(tmp_path):
    """A full page as clip path, classes in a sheet, groups with transforms, a white page."""
    sheet = "<style>.cls-1{clip-path:url(#c)} .cls-2,.cls-3{fill:none} .cls-3{stroke:#000;}</style>"
    page = '<rect class="cls-2" width="100" height="100"/>'
    defs = f'<defs>{sheet}<clipPath id="c">{page}</clipPath></defs>'
    path = '<path class="cls-3" d="{}"/>'
    paths = path.format("M0 0H60V60H0Z") + path.format("M-20-20L80 80M80-20L-20 80")
    layer = f'<g class="cls-1"><g transform="translate(20,20)">{paths}</g></g>'
    assert (
        drawn(tmp_path, defs + WHITE_RECT.format("#fff") + layer)
        == drawn(tmp_path, SQUARE + cross())
    ).all()
    chain = "".join(f'<clipPath id="c{i}" clip-path="url(#c{i + 1})"/>' for i in range(900))
    with pytest.raises(UnreadableImageError, match="nested more than 150 deep"):
        drawn(tmp_path, chain + cross('clip-path="url(#c0)"'))


@pytest.mark.slow
def test_fills_over_each_other_are_limited(tmp_path):
    fills = "".join(
        f'<rect width="{90 + i / 1e4}" height="90" fill="#{i:06x}"{{}}/>' for i in range(400)
    )
    assert drawn(tmp_path, fills.replace("{}", "")).min() < 128
    with pytest.raises(UnreadableImageError, match="too many filled shapes lie over each other"):
        drawn(tmp_path, fills.replace("{}", ' opacity=".001"'))


@pytest.mark.slow
def test_too_many_elements_are_refused(tmp_path):
    with pytest.raises(UnreadableImageError, match="more than 100,000 elements"):
        drawn(tmp_path, SQUARE + "<g/>" * 100_000)
