"""Plot the packages and what imports what into docs/images/architecture.svg.

    python tools/import_graph.py

Rows are the layers that ``[tool.importlinter]`` in pyproject.toml names. Arrows are imports in the
code. An arrow is left out where a longer way leads to the same package: A -> C where A -> B -> C.
Arrows to one package share a line as soon as they meet.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import grimp
from importlinter.api import read_configuration

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURE = REPOSITORY / "docs" / "images" / "architecture.svg"
_HEIGHT, _ROW, _CHARACTER, _PADDING, _GAP, _LINE = 30, 62, 8.2, 26, 16, 4  # pixels
_SWEEPS = 60
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
# Strong enough for white text, and told from a white page as from a black one.
_COLOURS = {"sketchclip": "#2f6db3", "data_modules": "#2b7a4b"}
_GREY = "#868e96"

Node = str
"""A package, or ``row>package`` for a line that passes a row on its way to a package."""
Edge = tuple[Node, Node]


def read_layers() -> list[list[str]]:
    """Packages of each layer, the highest first."""
    contracts = read_configuration(str(REPOSITORY / "pyproject.toml"))["contracts_options"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def read_imports(layers: Sequence[Sequence[str]]) -> set[Edge]:
    """Pairs of packages of which the first imports the second, a lower one."""
    row = {name: number for number, layer in enumerate(layers) for name in layer}
    graph = grimp.build_graph("sketchclip", "data_modules", cache_dir=None)
    edges = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            pair = _package(module, row), _package(imported, row)
            # Imports upwards are import-linter's business.
            if pair[0] and pair[1] and row[pair[0]] < row[pair[1]]:
                edges.add(pair)
    return edges


def _package(module: str, known: Iterable[str]) -> str:
    return next((name for name in known if f"{module}.".startswith(f"{name}.")), "")


def thinned(edges: set[Edge]) -> set[Edge]:
    """Edges without those that a longer way replaces (the transitive reduction).

    >>> sorted(thinned({("a", "b"), ("b", "c"), ("a", "c")}))
    [('a', 'b'), ('b', 'c')]
    """

    def below(node: Node) -> set[Node]:
        direct = {b for a, b in edges if a == node}
        return direct.union(*map(below, direct))

    return {(a, b) for a, b in edges if not any(b in below(c) for d, c in edges if d == a)}


def lines(layers: Sequence[Sequence[str]], edges: set[Edge]) -> tuple[list[list[Node]], set[Edge]]:
    """Rows with the lines that pass them, and the pieces of lines between neighbouring rows."""
    rows = [list(layer) for layer in layers]
    row = {name: number for number, layer in enumerate(layers) for name in layer}
    pieces = set()
    for start, end in sorted(edges):
        passed = [f"{number}>{end}" for number in range(row[start] + 1, row[end])]
        for number, node in enumerate(passed, row[start] + 1):
            if node not in rows[number]:
                rows[number].append(node)
        pieces |= set(pairwise([start, *passed, end]))
    return rows, pieces


def ordered(rows: Sequence[Sequence[Node]], pieces: set[Edge]) -> list[list[Node]]:
    """Rows ordered so that few lines cross: every node near the middle of its neighbours."""
    best = current = [list(row) for row in rows]
    for sweep in range(_SWEEPS):
        current = [list(row) for row in current]
        for number in range(len(current))[:: 1 if sweep % 2 == 0 else -1]:
            position = {n: (i + 1) / (len(row) + 1) for row in current for i, n in enumerate(row)}
            near = {n: _neighbours(n, pieces, sweep % 2 == 0) or [n] for n in current[number]}
            middle = {n: sum(position[m] for m in near[n]) / len(near[n]) for n in near}
            current[number].sort(key=middle.__getitem__)
        current = _swapped(current, pieces)
        if _crossings(current, pieces) < _crossings(best, pieces):
            best = current
    return best


def _neighbours(node: Node, pieces: set[Edge], above: bool) -> list[Node]:
    return sorted(a if above else b for a, b in pieces if (b if above else a) == node)


def _crossings(rows: Sequence[Sequence[Node]], pieces: set[Edge]) -> int:
    at = {node: position for row in rows for position, node in enumerate(row)}
    row = {node: number for number, nodes in enumerate(rows) for node in nodes}
    return sum(
        row[a] == row[c] and (at[a] - at[c]) * (at[b] - at[d]) < 0
        for (a, b), (c, d) in combinations(sorted(pieces), 2)
    )


def _swapped(rows: list[list[Node]], pieces: set[Edge]) -> list[list[Node]]:
    """Rows with neighbours exchanged as long as that removes crossings."""
    fewest, better = _crossings(rows, pieces), True
    while better:
        better = False
        for row in rows:
            for i in range(len(row) - 1):
                row[i], row[i + 1] = row[i + 1], row[i]
                count = _crossings(rows, pieces)
                if count < fewest:
                    fewest, better = count, True
                else:
                    row[i], row[i + 1] = row[i + 1], row[i]
    return rows


def placed(rows: Sequence[Sequence[Node]], pieces: set[Edge]) -> dict[Node, float]:
    """Middle of every node from left to right, in pixels: near its neighbours, without overlap."""
    x = {node: 100.0 * position for row in rows for position, node in enumerate(row)}
    for sweep in range(4 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_balance(node, x, pieces) for node in row]
            apart = [(_width(a) + _width(b)) / 2 + _GAP for a, b in pairwise(row)]
            right, left = list(wanted), list(wanted)
            for i, gap in enumerate(apart):
                right[i + 1] = max(right[i + 1], right[i] + gap)
            for i, gap in reversed(list(enumerate(apart))):
                left[i] = min(left[i], left[i + 1] - gap)
            x.update({n: (a + b) / 2 for n, a, b in zip(row, left, right, strict=True)})
    edge = min(x[node] - _width(node) / 2 for node in x)
    return {node: x[node] - edge + _LINE for node in x}


def _balance(node: Node, x: Mapping[Node, float], pieces: set[Edge]) -> float:
    """Middle of a node's neighbours; a line weighs more, so that it goes straight on."""
    near = [m for above in (True, False) for m in _neighbours(node, pieces, above)]
    weight = {m: 8 if ">" in node and ">" in m else 1 for m in near}
    return sum(weight[m] * x[m] for m in near) / sum(weight.values()) if near else x[node]


def _width(node: Node) -> float:
    return _LINE if ">" in node else _CHARACTER * len(_label(node)) + _PADDING


def _label(package: str) -> str:
    return package.rpartition(".")[2]


def svg() -> str:
    """Picture of the packages as they import each other now."""
    layers = read_layers()
    rows, pieces = lines(layers, thinned(read_imports(layers)))
    rows = ordered(rows, pieces)
    x = placed(rows, pieces)
    top = {node: _LINE + _ROW * number for number, row in enumerate(rows) for node in row}
    width = round(max(x[node] + _width(node) / 2 for node in x)) + _LINE
    height = _ROW * len(rows) - _ROW + _HEIGHT + 2 * _LINE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img">',
            "<title>Packages of sketchclip and the direction of their imports</title>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{_GREY}"/>'
            "</marker></defs>",
            f'<g fill="none" stroke="{_GREY}" stroke-width="1.4">',
            *(_line(a, b, x, top) for a, b in sorted(pieces)),
            "</g>",
            f'<g font-family="{_FONT}" font-size="14" fill="#fff" text-anchor="middle">',
            *(_box(node, x[node], top[node]) for row in rows for node in row if ">" not in node),
            "</g>",
            "</svg>\n",
        ]
    )


def _line(start: Node, end: Node, x: Mapping[Node, float], top: Mapping[Node, int]) -> str:
    """A piece of a line: a curve between two rows, and straight on past the row of its end."""
    a, b, first, last = round(x[start]), round(x[end]), top[start] + _HEIGHT, top[end]
    bend = (last - first) * 0.6
    path = f"M{a} {first}C{a} {first + bend:g} {b} {last - bend:g} {b} {last}"
    if ">" in end:
        return f'<path d="{path}V{last + _HEIGHT}"/>'
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _box(package: str, middle: float, top: int) -> str:
    width, colour = round(_width(package)), _COLOURS[package.partition(".")[0]]
    left = round(middle - width / 2)
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{_HEIGHT}" rx="6" fill="{colour}" '
        f'stroke="none"/><text x="{left + width / 2:g}" y="{top + 20}">'
        f"{html.escape(_label(package))}</text>"
    )


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(svg(), encoding="utf-8")
    print(f"Written: {PICTURE}")


if __name__ == "__main__":
    main()
