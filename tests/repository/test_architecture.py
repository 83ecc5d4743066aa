"""The picture of the packages: it is what the code imports now."""

import re
from itertools import pairwise

from tools.import_graph import (
    PICTURE,
    lines,
    ordered,
    placed,
    read_imports,
    read_layers,
    svg,
    thinned,
)


def test_the_picture_shows_the_imports_of_today():
    assert PICTURE.read_text("utf-8") == svg(), "run: python tools/import_graph.py"


def test_every_package_of_the_layers_is_a_box_and_no_box_lies_on_another():
    layers = read_layers()
    boxes = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)".*?<text[^>]*>(\w+)<', svg())
    assert sorted(box[3] for box in boxes) == sorted(
        name.rpartition(".")[2] for layer in layers for name in layer
    )
    rows: dict[int, list[tuple[int, int]]] = {}
    for left, top, width, _ in boxes:
        rows.setdefault(int(top), []).append((int(left), int(left) + int(width)))
    assert [len(rows[top]) for top in sorted(rows)] == [len(layer) for layer in layers]
    for row in rows.values():
        assert all(one[1] < other[0] for one, other in pairwise(sorted(row)))


def test_arrows_are_imports_and_lead_wherever_imports_lead():
    layers = read_layers()
    imports = read_imports(layers)
    assert ("sketchclip.cli", "sketchclip.commands") in imports
    arrows = thinned(imports)
    assert arrows < imports

    def reached(node):
        return {b for a, b in arrows if a == node}.union(
            *(reached(b) for a, b in arrows if a == node)
        )

    assert all(b in reached(a) for a, b in imports)
    rows, pieces = lines(layers, arrows)
    row = {node: number for number, nodes in enumerate(rows) for node in nodes}
    assert all(row[b] == row[a] + 1 for a, b in pieces)


def test_lines_that_cross_for_nothing_are_exchanged():
    rows = ordered([["a", "b"], ["c", "d"]], {("a", "d"), ("b", "c")})
    assert rows in ([["a", "b"], ["d", "c"]], [["b", "a"], ["c", "d"]])
    x = placed(rows, {("a", "d"), ("b", "c")})
    assert x["a"] == x["d"]
    assert x["b"] == x["c"]
