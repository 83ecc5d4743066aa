"""Classes of two datasets that are the same thing: spellings, plurals and listed synonyms."""

import csv
import re
import unicodedata
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
    """Name without separators and accents: café is cafe."""
    letters = unicodedata.normalize("NFKD", canonical(name))
    return loose("".join(letter for letter in letters if not unicodedata.combining(letter)))


_IRREGULAR = dict(
    pair.split("/")
    for pair in (
        "calves/calf children/child elves/elf feet/foot geese/goose halves/half hooves/hoof "
        "knives/knife leaves/leaf loaves/loaf men/man mice/mouse oxen/ox people/person "
        "scarves/scarf shelves/shelf snowmen/snowman teeth/tooth thieves/thief wolves/wolf "
        "women/woman cacti/cactus fungi/fungus octopi/octopus"
    ).split()
)


def _singular(word: str) -> str:
    """Form that singular and plural share; of some no word, but equal for both.

    >>> [_singular(word) for word in ("buses", "bus", "butterflies", "movies", "movie", "mice")]
    ['bus', 'bus', 'butterfly', 'movy', 'movy', 'mous']
    """
    word = _IRREGULAR.get(word, word)
    plural = len(word) > 3 and word[-1] == "s" and word[-2] != "s" and word[-2].isalpha()
    word = word[:-1] if plural else word
    word = re.sub("(?<=[^aeiou])ie$", "y", word)  # strawberri(es), movie
    # The e that a plural of these has, and that some singulars have: box(es), bus(es), horse.
    return re.sub("(?<=ch|sh|.[sxzo])e$", "", word)
