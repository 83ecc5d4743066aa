"""Class names: one name for all spellings of a class, without joining two classes."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

_APOSTROPHES = re.compile("['`\u00b4\u2018\u2019\u201b\u02bc\u02b9\u2032\uff07]")
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))
_SEPARATORS = re.compile("[\\s_().\u2010-\u2015\u2212-]+")


def canonical(name: str) -> str:
    """Name under which the spellings of one class meet.

    Case, Unicode form (NFKC), characters without width, spaces, hyphens, underscores, parentheses,
    dots and apostrophes do not matter; every other character does.

    >>> canonical("hot-air_balloon") == canonical("Hot Air Balloon") == "hot_air_balloon"
    True
    >>> canonical("car_(sedan)") == canonical("car (sedan)") == canonical("car_sedan")
    True
    >>> canonical("c"), canonical("c++"), canonical("3"), canonical("3d"), canonical("Bird's nest")
    ('c', 'c++', '3', '3d', 'birds_nest')
    """
    name = name.translate(_UNSEEN)
    text = _APOSTROPHES.sub("", unicodedata.normalize("NFKC", _APOSTROPHES.sub("", name)))
    # Folding the case can leave a form that NFKC would write otherwise.
    text = unicodedata.normalize("NFKC", text.casefold())
    text = _APOSTROPHES.sub("", text)
    return _SEPARATORS.sub("_", text).strip("_") or text


def loose(name: str) -> str:
    """Name without separators and leading article, for names that nothing else matches.

    >>> loose("table_lamp") == loose("tablelamp"), loose("the_eiffel_tower")
    (True, 'eiffeltower')
    """
    return name.removeprefix("the_").replace("_", "")


def align(found: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Match canonical names that differ in their separators alone.

    Args:
        found: Canonical names of one source.
        wanted: Canonical names of another, whose spelling is to be used.

    Returns:
        Found to wanted name, for names that are in one source only and have exactly one
        counterpart in the other.

    Example:
        >>> align(["tablelamp", "cat"], ["table_lamp", "cat"])
        {'tablelamp': 'table_lamp'}
        >>> align(["tablelamp"], ["table_lamp", "tab_lelamp"])
        {}
    """
    here, there = set(found), set(wanted)
    candidates: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in sorted(here - there):
        candidates[loose(name)][0].append(name)
    for name in sorted(there - here):
        candidates[loose(name)][1].append(name)
    return {a[0]: b[0] for a, b in candidates.values() if len(a) == len(b) == 1}


def shorten(names: Sequence[str]) -> str:
    """List the first names in a message.

    >>> shorten(list("abcdefghij"))
    'a, b, c, d, e, f, g, h, ...'
    """
    return ", ".join(names[:8]) + (", ..." if names[8:] else "")
