"""Selectors of style sheets: those of types, classes, ids, attributes and ``:root``.

They may be joined to compounds, by descent and as children.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from data_modules.images.svg.declarations import Declaration, tag

REMEDY = "export it as plain SVG with presentation attributes, or as PNG"

_MOST_TESTS = 5_000_000
"""Comparisons of elements with selectors, some seconds of work; sketches need some thousands."""

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


@dataclass(frozen=True)
class Rule:
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


class Rules:
    """Rules, found by what their last compound needs."""

    def __init__(self, rules: list[Rule]) -> None:
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

    def _matches(self, rule: Rule, element: Element, ancestors: tuple[Element, ...]) -> bool:
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


def parse_rule(selector: str, declared: list[Declaration]) -> Rule | None:
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
            f"understood; {REMEDY}"
        )
    parts = [part for _, compound in steps for part in compound]
    ids = sum(part["id"] is not None for part in parts)
    types = sum(part["type"] not in (None, "*") for part in parts)
    others = sum(part["id"] is None and part["type"] is None for part in parts)
    return Rule(steps, _key(steps[-1][1]), (ids, others, types), declared)


def _key(compound: list[re.Match[str]]) -> str:
    for kind, mark in (("id", "#"), ("class", "."), ("type", "")):
        for part in compound:
            if part[kind] not in (None, "*"):
                return f"{mark}{part[kind]}"
    return ""
