"""Nouns of WordNet for class names."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from data_modules.listing.names import canonical, loose
from sketchclip.errors import SketchClipError, first_line
from sketchclip.semantics.wordnet_file import INSTALL, OPTION, Nouns

SENSES = Path(str(files("sketchclip"))) / "assets" / "wordnet_senses.txt"
"""Nouns for names whose first sense in WordNet is another thing, or which it does not have."""

_LINE = re.compile(r"(?P<name>[^=]*[^=\s])\s*=\s*(?P<noun>n\d{8}|[^=\s]+#\d+)")
# Endings of plurals and of their singulars, as WordNet's own search has them (morphy).
_PLURALS = {"s": "", "ses": "s", "xes": "x", "zes": "z", "ches": "ch", "shes": "sh"} | {
    "men": "man",
    "ies": "y",
}


def class_synsets(nouns: Nouns, class_names: Sequence[str], senses: str | None = None) -> list[int]:
    """Synset of each class name, by the first of these that there is.

    1. The noun that the file ``senses`` gives, then the one of the package's own list, for names
       such as mug, whose first sense is a quantity.
    2. The first sense of the name, whatever its case, spaces, hyphens and underscores.
    3. Of all nouns of WordNet alone: the same for the singular, then for the name without its
       first word, and so on: "big red dogs" is dog. Nouns of the package are too few to tell that
       WordNet does not have the longer name.

    Args:
        nouns: Nouns to choose from.
        class_names: Names in any spelling that data modules know.
        senses: Text file with a line ``class name = lemma#number of its sense`` for each name whose
            noun is to be another one, or ``class name = n########``, ImageNet's number.

    Raises:
        SketchClipError: If a name has no noun; it lists all of them. Or if the file is bad.
    """
    chosen = read_senses(SENSES) | ({} if senses is None else read_senses(Path(senses)))
    spellings: dict[str, list[str]] = defaultdict(list)
    for lemma in nouns.senses:
        spellings[_key(lemma)].append(lemma)
    found = [_find(nouns, name, chosen, spellings) for name in class_names]
    missing = [name for name, synset in zip(class_names, found, strict=True) if synset is None]
    if missing:
        nouns_of = "WordNet has" if nouns.complete else "The package's nouns of WordNet have"
        folder = "" if nouns.complete else f"name {INSTALL} with {OPTION}, or "
        raise SketchClipError(
            f"{nouns_of} none for {len(missing)} of {len(class_names)} classes: "
            f"{'; '.join(missing)}. Correct the names, {folder}write a text file with a noun for "
            f"each, a line such as '{missing[0]} = dog#1' (the first sense of dog), and name it "
            "where the method takes one (--model.semantics.senses; --model.senses of SAKE, whose "
            "--model.hint_weight 0 needs none)."
        )
    return [synset for synset in found if synset is not None]


def read_senses(path: Path) -> dict[str, str]:
    """Nouns of a file of lines ``class name = noun``, by what all spellings of a name share."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        pairs = [_LINE.fullmatch(line) for line in lines]
        if None in pairs:
            raise ValueError(f"the line '{lines[pairs.index(None)]}'")
    except (OSError, ValueError) as error:
        raise SketchClipError(
            f"{path}: expected a UTF-8 text file with a line 'class name = lemma#sense' for each "
            f"class, such as 'mug = mug#4'. Found: {type(error).__name__}, {first_line(error)}."
        ) from error
    return {_key(pair["name"]): pair["noun"] for pair in pairs if pair}


def singulars(word: str) -> list[str]:
    """What a word may be the plural of.

    >>> singulars("glasses"), singulars("moss")
    (['glasse', 'glass'], ['mos'])
    """
    return [word[: -len(s)] + one for s, one in _PLURALS.items() if word.endswith(s) and word != s]


def _key(name: str) -> str:
    return loose(canonical(name))


def _find(
    nouns: Nouns, name: str, chosen: Mapping[str, str], spellings: Mapping[str, Sequence[str]]
) -> int | None:
    if _key(name) in chosen:
        return _sense(nouns, name, chosen[_key(name)])
    for form in _forms(canonical(name), nouns.complete):
        # Of hot_dog and hotdog, the one that is written like the name.
        alike = sorted(spellings.get(_key(form), ()), key=lambda s: (canonical(s) != form, s))
        for lemma in alike:
            if 1 in nouns.senses[lemma]:
                return nouns.senses[lemma][1]
    return None


def _forms(name: str, shorten: bool) -> Iterator[str]:
    yield name
    if shorten:
        words = name.split("_")
        for ending in ("_".join(words[at:]) for at in range(len(words))):
            yield from (ending, *singulars(ending))


def _sense(nouns: Nouns, name: str, noun: str) -> int | None:
    """Synset that a file of senses names; None if these nouns are a part and it is not in it."""
    lemma, _, number = noun.partition("#")
    if number:
        synset = nouns.senses.get(lemma.lower(), {}).get(int(number))
    else:
        synset = int(noun[1:]) if int(noun[1:]) in nouns.parents else None
    if synset is None and nouns.complete:
        raise SketchClipError(
            f"'{name} = {noun}': WordNet 3.0 has no such noun. Expected a noun with the number of "
            "its sense, such as mug#4, or n and eight digits; correct the line in the file that "
            "--model.semantics.senses, or --model.senses of SAKE, names."
        )
    return synset
