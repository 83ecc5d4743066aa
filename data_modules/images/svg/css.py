"""Style sheets of SVG files: which declarations hold for which element.

Selectors of types, classes, ids, attributes and ``:root`` are understood, joined to compounds and
by descent. A rule with any other selector is refused if it says something about what is seen: which
elements it hides would be a guess.
"""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from data_modules.images.svg.declarations import (
    PROPERTIES,
    declarations,
    is_valid,
    split,
    tag,
    without_comments,
)
from data_modules.images.svg.selectors import REMEDY, Rule, Rules, parse_rule

DEEPEST = 150
"""Most elements around another, clones included: the walk stays far from Python's own limit."""

TOO_DEEP = f"its elements are nested more than {DEEPEST} deep; ungroup them"

_MOST_NESTED = 16


def cascade(root: Element) -> dict[Element, dict[str, str]]:
    """Properties and attributes of every element, as its attributes, its style and sheets say.

    Raises:
        ValueError: If a sheet decides what is seen by a selector that is not understood.
    """
    elements = _with_ancestors(root)
    rules = Rules([rule for sheet in root.iter() for rule in _sheet_rules(sheet)])
    found = {}
    for element, ancestors in elements:
        values = {k: v for k, v in element.attrib.items() if k not in PROPERTIES or is_valid(k, v)}
        own = declarations(element.get("style", ""))
        matched = rules.matching(element, ancestors) if rules else []
        for important in (False, True):
            for name, value, is_important in [*matched, *own]:
                if is_important == important:
                    values[name] = value
        found[element] = values
    return found


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


def _sheet_rules(element: Element) -> Iterator[Rule]:
    """Rules of a <style>, in their order."""
    kind, media = element.get("type", ""), element.get("media", "")
    if tag(element) != "style" or kind.strip().lower() not in ("", "text/css"):
        return
    text = without_comments("".join(element.itertext())).replace("<!--", "").replace("-->", "")
    if not _for_print(media, text):
        yield from _rules(text, 0)


def _rules(text: str, depth: int) -> Iterator[Rule]:
    for prelude, body in _blocks(text):
        if prelude.startswith("@"):
            yield from _conditional(prelude, body, depth)
            continue
        declared = declarations(body)
        if "{" in body and _says_something(body):
            raise ValueError(f"its style sheet nests rules in '{prelude:.40}'; {REMEDY}")
        for selector in split(prelude, ",") if declared else ():
            rule = parse_rule(selector.strip(), declared)
            if rule is not None:
                yield rule


def _conditional(rule: str, body: str, depth: int) -> Iterator[Rule]:
    """Rules of an @media; other rules of this kind say nothing about single elements."""
    name, _, condition = rule[1:].partition(" ")
    if name.lower() not in ("media", "supports", "layer", "container", "scope"):
        return
    if depth > _MOST_NESTED:
        raise ValueError("its style sheet nests rules too deep")
    if name.lower() == "media" and not _for_print(condition, body):
        yield from _rules(body, depth + 1)
    elif name.lower() != "media" and _says_something(body):
        raise ValueError(f"its style sheet depends on '{rule:.40}'; {REMEDY}")


def _for_print(media: str, body: str) -> bool:
    """Whether rules for these media are not for a screen."""
    kinds = [kind.strip().lower().removeprefix("only ") for kind in media.split(",")]
    if any(kind in ("", "all", "screen") for kind in kinds):
        return False
    if all(re.fullmatch(r"(?:print|speech)\b.*", kind) or "scheme: dark" in kind for kind in kinds):
        return True
    if not _says_something(body):
        return True
    raise ValueError(f"its style sheet depends on the media '{media.strip():.40}'; {REMEDY}")


def _says_something(text: str) -> bool:
    """Whether rules set a property that is read."""
    return any(declarations(part) for part in re.split(r"[{}]", text))


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
