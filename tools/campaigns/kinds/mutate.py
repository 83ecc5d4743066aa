"""Mutations: of bytes, of numbers in text, and of values in trees of lists and mappings."""

import re
from collections.abc import Iterator
from random import Random
from typing import Any

NUMBERS = (
    b"0",
    b"-1",
    b"1e308",
    b"-1e308",
    b"1e-320",
    b"NaN",
    b"Infinity",
    b"999999999999999999999",
)
_WORDS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 2**31, 2**63, -(2**63), 10**40, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "\n", "0", "nan", "1e3", "null", "a\tb"),
    *("\0", "é", "日本", "\u202e", "../../x", "/", "~", "x" * 3000, [], {}, [[]], [None], [0, 1]),
    *({"a": 1}, [[[[[[1]]]]]], "true", "-", "#", "%", "{}", "$HOME"),
)
"""What a value may be replaced by."""


def mutate_bytes(data: bytes, chance: Random) -> tuple[bytes, str]:
    """Change bytes in one of many ways; returns them with the change in words."""
    size = len(data)
    start = chance.randrange(size + 1)
    length = min(size - start, chance.choice((1, 2, 4, 16, 64, 512)))
    span = data[start : start + length]
    head, tail = data[:start], data[start + length :]
    kind = chance.choice(
        "flip flip flip cut remove double zero noise swap word word number number join bom".split()
    )
    if kind == "flip":
        changed = bytearray(data)
        bits = (
            [chance.randrange(8 * size) for _ in range(chance.choice((1, 1, 2, 8)))] if size else []
        )
        for bit in bits:
            changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed), f"flip bits {bits}"
    if kind == "cut":
        return head, f"cut to {start} of {size} bytes"
    if kind == "remove":
        return head + tail, f"remove {length} bytes at {start}"
    if kind == "double":
        return head + span * chance.choice((2, 2, 100)) + tail, f"repeat {length} bytes at {start}"
    if kind == "zero":
        return head + bytes(length) + tail, f"zero {length} bytes at {start}"
    if kind == "noise":
        return head + chance.randbytes(length) + tail, f"noise of {length} bytes at {start}"
    if kind == "swap":
        half = len(tail) // 2
        return head + tail[:half] + span + tail[half:], f"move {length} bytes from {start}"
    if kind == "word":
        return _word(data, chance)
    if kind == "number":
        return mutate_number(data, chance)
    if kind == "join":
        return data + data, "the content twice"
    return b"\xef\xbb\xbf" + data, "a byte order mark in front"


def _word(data: bytes, chance: Random) -> tuple[bytes, str]:
    """Overwrite a field, most often one near the start, where formats keep sizes and counts."""
    width, order = chance.choice((1, 2, 4, 8)), chance.choice(("big", "little"))
    limit = max(0, (min(64, len(data)) if chance.random() < 0.7 else len(data)) - width)
    start, word = chance.randint(0, limit), chance.choice(_WORDS) % (1 << 8 * width)
    field = word.to_bytes(width, order)  # type: ignore[arg-type]
    return data[:start] + field + data[start + width :], f"{width} bytes at {start} are {word:#x}"


def mutate_number(data: bytes, chance: Random) -> tuple[bytes, str]:
    """Replace a number in text by an unusual one, or exchange two; bytes without one get noise."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    if not found:
        return data + chance.randbytes(4), "4 bytes of noise at the end"
    one, other = chance.choice(found), chance.choice(found)
    new = chance.choice(NUMBERS) if chance.random() < 0.7 else other[0]
    changed = data[: one.start()] + new + data[one.end() :]
    return changed, f"{one[0][:20].decode()} at {one.start()} is {new[:20].decode()}"


def reencode(text: str, chance: Random) -> tuple[bytes, str]:
    """The same text in another encoding or with other ends of lines."""
    kind = chance.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "crlf", "cr"))
    if kind in ("crlf", "cr"):
        return text.replace("\n", {"crlf": "\r\n", "cr": "\r"}[kind]).encode(), kind
    return text.encode(kind, "replace"), f"encoded as {kind}"


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        yield from _paths(value, (*path, key))


def mutate_tree(tree: Any, chance: Random) -> tuple[Any, str]:
    """Change one value of nested lists and mappings in place; returns them and the change."""
    paths = list(_paths(tree))
    if not paths:
        return chance.choice(VALUES), "another value at the top"
    path = chance.choice(paths)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    key, where = path[-1], ".".join(map(str, path))
    kind = chance.choice("replace replace replace replace remove rename wrap move".split())
    if kind == "remove":
        del parent[key]
        return tree, f"without {where}"
    if kind == "rename" and isinstance(parent, dict):
        name = chance.choice((f"{key}_", str(key).upper(), "", "x", 7, None))
        parent[name] = parent.pop(key)
        return tree, f"{where} is called {name!r}"
    if kind == "wrap":
        parent[key] = chance.choice(([parent[key]], {"x": parent[key]}, [parent[key]] * 3))
        return tree, f"{where} in a list or mapping"
    if kind == "move":
        other = chance.choice(paths)
        value = tree
        for step in other:
            value = value[step]
        if other[: len(path)] == path or path[: len(other)] == other:
            value = None  # nothing may hold itself
        parent[key] = value
        return tree, f"{where} has the value of {'.'.join(map(str, other))}"
    value = chance.choice(VALUES)
    parent[key] = value
    return tree, f"{where} is {value!r:.40}"
