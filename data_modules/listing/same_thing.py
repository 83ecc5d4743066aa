"""Classes of two datasets that are the same thing: spellings, plurals and listed synonyms."""

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from data_modules.listing.names import canonical, loose


def same_classes(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Match classes of a dataset with classes of other ones.

    Another name that the dataset has, too, in any spelling, is that class and no second one: what
    a dataset keeps apart (cup and mug, dog and dogs) stays apart. Any other name is every class
    that is the same thing by its plural or by ``synonyms.csv``. A kind of a thing (rooster and
    chicken, race car and car) is another thing.

    Args:
        names: All classes of the dataset.
        others: Names of classes elsewhere.

    Returns:
        Class of the dataset to the other name that it has, in the order of ``names``.

    >>> same_classes(["cup", "mug", "motorbike", "socks"], ["Mug", "motorcycle", "sock", "glass"])
    {'mug': 'Mug', 'motorbike': 'motorcycle', 'socks': 'sock'}
    """
    names = list(names)
    own = {_spelling(name): name for name in names}
    found: dict[str, str] = {}
    for other in others:
        if _spelling(other) in own:
            found[own[_spelling(other)]] = other
        else:
            for name in names:
                if thing(name) == thing(other):
                    found.setdefault(name, other)
    return {name: found[name] for name in names if name in found}


@cache
def thing(name: str) -> str:
    """Key that all names of one thing share.

    >>> thing("hot-air_balloon") == thing("Hot Air Balloons"), thing("sofas") == thing("couch")
    (True, True)
    >>> thing("glass") == thing("glas"), thing("bus"), thing("glass") == thing("glasses")
    (False, 'bus', False)
    """
    table = _synonyms()
    plain = _spelling(name)
    for form in (plain, _singular(plain)):
        if form in table:
            return _singular(table[form])
    return _singular(plain)


@cache
def _synonyms() -> dict[str, str]:
    text = (files("data_modules.listing") / "synonyms.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {_spelling(row["name"]): _spelling(row["same_as"]) for row in rows}


def _spelling(name: str) -> str:
    return loose(canonical(name))


def _singular(word: str) -> str:
    """Word without the s of a plural; short words and those in -ss have none."""
    plural = len(word) > 3 and word[-1] == "s" and word[-2] != "s" and word[-2].isalpha()
    return word[:-1] if plural else word
