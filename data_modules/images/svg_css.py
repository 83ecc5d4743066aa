"""Style sheets of SVG files: which declarations hold for which element.

Selectors of types, classes, ids, attributes and ``:root`` are understood, joined to compounds and
by descent. A rule with any other selector is refused if it says something about what is seen: which
elements it hides would be a guess.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree.ElementTree import Element

from data_modules.images.svg_values import is_paint

SVG = "{http://www.w3.org/2000/svg}"
INHERITED = frozenset(
    "color fill fill-opacity fill-rule clip-rule stroke stroke-dasharray stroke-linecap "
    "stroke-opacity stroke-width visibility".split()
)
"""Properties that are read and that children take over."""

_OWN = (
    "clip-path display filter mask mask-image mask-type mix-blend-mode opacity overflow transform "
    "transform-origin background background-color width height x y cx cy r rx ry d stop-color "
    "stop-opacity"
)
PROPERTIES = INHERITED | frozenset(_OWN.split())
"""Properties that decide what is seen; all others are passed over."""

DEEPEST = 150
"""Most elements around another, clones included: the walk stays far from Python's own limit."""

TOO_DEEP = f"its elements are nested more than {DEEPEST} deep; ungroup them"

_MOST_TESTS = 5_000_000
"""Comparisons of elements with selectors, some seconds of work; sketches need some thousands."""

_MOST_NESTED = 16
_DYNAMIC = re.compile(
    r"::?(?:hover|focus|focus-within|focus-visible|active|visited|target|selection)$"
)
_PART = re.compile(
    r"(?P<type>\*|[a-zA-Z_][\w-]*)|\.(?P<class>-?[a-zA-Z_][\w-]*)|#(?P<id>[\w-]+)|(?P<root>:root)"
    r"|\[\s*(?P<name>[\w-]+)\s*(?:(?P<op>[~|^$*]?=)\s*(?P<quote>[\"']?)(?P<value>[^\"'\]]*)(?P=quote)"
    r"\s*)?\]"
)
_COMBINATOR = re.compile(r"\s*>\s*|\s+")
_ATTRIBUTE_TESTS = {
    "=": lambda has, wanted: has == wanted,
    "~=": lambda has, wanted: wanted in has.split(),
    "|=": lambda has, wanted: has == wanted or has.startswith(f"{wanted}-"),
    "^=": lambda has, wanted: bool(wanted) and has.startswith(wanted),
    "$=": lambda has, wanted: bool(wanted) and has.endswith(wanted),
    "*=": lambda has, wanted: bool(wanted) and wanted in has,
}


class Declaration(NamedTuple):
    """One property of a rule or a style attribute."""

    name: str
    value: str
    important: bool


def tag(element: Element) -> str:
    """Name of an SVG element without its name space."""
    return element.tag.removeprefix(SVG) if isinstance(element.tag, str) else ""


def cascade(root: Element) -> dict[Element, dict[str, str]]:
    """Properties and attributes of every element, as its attributes, its style and sheets say.

    Raises:
        ValueError: If a sheet decides what is seen by a selector that is not understood.
    """
    elements = _with_ancestors(root)
    rules = _Rules([rule for sheet in root.iter() for rule in _sheet_rules(sheet)])
    found = {}
    for element, ancestors in elements:
        values = {k: v for k, v in element.attrib.items() if k not in PROPERTIES or _valid(k, v)}
        own = declarations(element.get("style", ""))
        matched = rules.matching(element, ancestors) if rules else []
        for important in (False, True):
            for name, value, is_important in [*matched, *own]:
                if is_important == important:
                    values[name] = value
        found[element] = values
    return found


def declarations(text: str) -> list[Declaration]:
    """Valid declarations of the properties that are read, names in lower case.

    >>> declarations("STROKE : Red ! important; font: 9px x; fill: nonsense")
    [Declaration(name='stroke', value='Red', important=True)]
    """
    found = []
    for part in _split(_without_comments(text), ";") if text else ():
        name, _, value = part.partition(":")
        name, value = name.strip(), value.strip()
        if not name.startswith("--"):
            name = name.lower().removeprefix("-webkit-")
        start, mark, end = value.rpartition("!")
        important = bool(mark) and end.strip().lower() == "important"
        value = start.strip() if important else value
        if value and (name.startswith("--") or name in PROPERTIES) and _valid(name, value):
            found.append(Declaration(name, value, important))
    return found


def _valid(name: str, value: str) -> bool:
    """Whether a browser takes a declaration; it passes over a color that is none."""
    if name not in ("fill", "stroke", "color") or "var(" in value.lower():
        return True
    keywords = ("inherit", "initial", "unset", "revert", "revert-layer")
    return value.strip().lower() in keywords or is_paint(value)


@dataclass(frozen=True)
class _Rule:
    """One selector with its declarations.

    Attributes:
        steps: Compounds from left to right, each with the combinator before it.
        key: What the last compound needs: an id, a class, a type, or nothing.
        rank: Specificity: ids, then classes and attributes, then types.
        declared: The declarations.
    """

    steps: list[tuple[str, list[re.Match[str]]]]
    key: str
    rank: tuple[int, int, int]
    declared: list[Declaration]


class _Rules:
    """Rules, found by what their last compound needs."""

    def __init__(self, rules: list[_Rule]) -> None:
        self._tests = 0
        self._by_key = defaultdict(list)
        for place, rule in enumerate(rules):
            self._by_key[rule.key].append((rule.rank, place, rule))

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def matching(self, element: Element, ancestors: tuple[Element, ...]) -> list[Declaration]:
        """Declarations that hold for an element, the strongest last."""
        keys = ["", tag(element), f"#{element.get('id')}"]
        keys += [f".{name}" for name in {*element.get("class", "").split()}]
        rules = [ranked for key in keys for ranked in self._by_key.get(key, ())]
        chosen = [ranked for ranked in rules if self._matches(ranked[2], element, ancestors)]
        chosen.sort(key=lambda ranked: ranked[:2])
        return [one for _, _, rule in chosen for one in rule.declared]

    def _matches(self, rule: _Rule, element: Element, ancestors: tuple[Element, ...]) -> bool:
        path = (*ancestors, element)
        # Places in the path where the compounds so far may end, from the right.
        places, combinator = {len(path) - 1}, "self"
        for before, compound in reversed(rule.steps):
            if combinator == ">":
                places = {place - 1 for place in places if place}
            elif combinator == " ":
                places = {*range(max(places))}
            self._tests += len(places)
            if self._tests > _MOST_TESTS:
                raise ValueError("its style sheet has too many rules for its elements")
            places = {place for place in places if _holds(compound, path, place)}
            if not places:
                return False
            combinator = before
        return True


def _holds(compound: list[re.Match[str]], path: tuple[Element, ...], place: int) -> bool:
    """Whether all parts of a compound hold for one element of a path from the root."""
    element = path[place]
    for part in compound:
        kind = part.lastgroup
        if part["name"]:
            has = element.get(part["name"])
            holds = has is not None and (
                not part["op"] or _ATTRIBUTE_TESTS[part["op"]](has, part["value"].strip())
            )
        elif kind == "type":
            holds = part["type"] in ("*", tag(element))
        elif kind == "class":
            holds = part["class"] in element.get("class", "").split()
        else:
            holds = place == 0 if part["root"] else part["id"] == element.get("id")
        if not holds:
            return False
    return True


def _with_ancestors(root: Element) -> list[tuple[Element, tuple[Element, ...]]]:
    """Every element with those around it.

    Raises:
        ValueError: If elements are nested too deep.
    """
    found: list[tuple[Element, tuple[Element, ...]]] = []
    waiting: list[tuple[Element, tuple[Element, ...]]] = [(root, ())]
    while waiting:
        element, ancestors = waiting.pop()
        if len(ancestors) > DEEPEST:
            raise ValueError(TOO_DEEP)
        found.append((element, ancestors))
        around = (*ancestors, element)
        waiting.extend((child, around) for child in element)
    return found


def _sheet_rules(element: Element) -> Iterator[_Rule]:
    """Rules of a <style>, in their order."""
    kind, media = element.get("type", ""), element.get("media", "")
    if tag(element) != "style" or kind.strip().lower() not in ("", "text/css"):
        return
    text = _without_comments("".join(element.itertext())).replace("<!--", "").replace("-->", "")
    if not _for_print(media, text):
        yield from _rules(text, 0)


def _rules(text: str, depth: int) -> Iterator[_Rule]:
    for prelude, body in _blocks(text):
        if prelude.startswith("@"):
            yield from _conditional(prelude, body, depth)
            continue
        declared = declarations(body)
        if "{" in body and _says_something(body):
            raise ValueError(f"its style sheet nests rules in '{prelude:.40}'; {_REMEDY}")
        for selector in _split(prelude, ",") if declared else ():
            rule = _rule(selector.strip(), declared)
            if rule is not None:
                yield rule


_REMEDY = "export it as plain SVG with presentation attributes, or as PNG"


def _conditional(rule: str, body: str, depth: int) -> Iterator[_Rule]:
    """Rules of an @media; other rules of this kind say nothing about single elements."""
    name, _, condition = rule[1:].partition(" ")
    if name.lower() not in ("media", "supports", "layer", "container", "scope"):
        return
    if depth > _MOST_NESTED:
        raise ValueError("its style sheet nests rules too deep")
    if name.lower() == "media" and not _for_print(condition, body):
        yield from _rules(body, depth + 1)
    elif name.lower() != "media" and _says_something(body):
        raise ValueError(f"its style sheet depends on '{rule:.40}'; {_REMEDY}")


def _for_print(media: str, body: str) -> bool:
    """Whether rules for these media are not for a screen."""
    kinds = [kind.strip().lower().removeprefix("only ") for kind in media.split(",")]
    if any(kind in ("", "all", "screen") for kind in kinds):
        return False
    if all(re.fullmatch(r"(?:print|speech)\b.*", kind) or "scheme: dark" in kind for kind in kinds):
        return True
    if not _says_something(body):
        return True
    raise ValueError(f"its style sheet depends on the media '{media.strip():.40}'; {_REMEDY}")


def _says_something(text: str) -> bool:
    """Whether rules set a property that is read."""
    return any(declarations(part) for part in re.split(r"[{}]", text))


def _rule(selector: str, declared: list[Declaration]) -> _Rule | None:
    """One selector; None for a state that a still picture does not have.

    Raises:
        ValueError: If it is not understood.
    """
    steps: list[tuple[str, list[re.Match[str]]]] = [("", [])]
    at = 0
    if _DYNAMIC.search(selector):
        return None
    while at < len(selector):
        if part := _PART.match(selector, at):
            steps[-1][1].append(part)
        elif (part := _COMBINATOR.match(selector, at)) and steps[-1][1]:
            steps.append((">" if ">" in part[0] else " ", []))
        else:
            break
        at = part.end()
    if at < len(selector) or not steps[-1][1]:
        names = ", ".join(dict.fromkeys(one.name for one in declared))
        raise ValueError(
            f"the selector '{selector:.40}' of its style sheet sets {names:.40} and is not "
            f"understood; {_REMEDY}"
        )
    parts = [part for _, compound in steps for part in compound]
    ids = sum(part["id"] is not None for part in parts)
    types = sum(part["type"] not in (None, "*") for part in parts)
    others = sum(part["id"] is None and part["type"] is None for part in parts)
    return _Rule(steps, _key(steps[-1][1]), (ids, others, types), declared)


def _key(compound: list[re.Match[str]]) -> str:
    for kind, mark in (("id", "#"), ("class", "."), ("type", "")):
        for part in compound:
            if part[kind] not in (None, "*"):
                return f"{mark}{part[kind]}"
    return ""


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Rules of a sheet: what stands before the braces, and within the outermost ones."""
    depth, start, prelude = 0, 0, ""
    for mark in re.finditer(r"[{};]", text):
        if mark[0] == "{":
            if depth == 0:
                prelude, start = text[start : mark.start()].strip(), mark.end()
            depth += 1
        elif mark[0] == "}" and depth:
            depth -= 1
            if depth == 0:
                yield prelude, text[start : mark.start()]
                start = mark.end()
        elif depth == 0:
            start = mark.end()  # @import "x";
    if depth:
        yield prelude, text[start:]  # the end of a sheet closes what is open


def _without_comments(text: str) -> str:
    if "/*" not in text:
        return text
    first, *rest = text.split("/*")
    return first + " ".join(part.partition("*/")[2] for part in rest)


def _split(text: str, mark: str) -> list[str]:
    """Split where a mark stands outside of brackets and quotes, in one pass."""
    if not re.search(r"[(\"'\[]", text):
        return text.split(mark)
    parts, start, depth, quote = [], 0, 0, ""
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth = max(depth - 1, 0)
        elif letter == mark and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
