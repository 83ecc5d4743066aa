"""Nouns of WordNet 3.0 and what is above them: WordNet's own files, and those of the package."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sketchclip.errors import SketchClipError, first_line

PACKAGED = Path(str(files("sketchclip"))) / "assets" / "wordnet_nouns.txt"
"""Nouns of ImageNet's classes and of the class lists of ``data_modules``, and all above them."""

INSTALL = (
    "the folder of WordNet 3.0 with data.noun and index.noun (on Debian 'apt-get install "
    "wordnet-base' puts it into /usr/share/wordnet)"
)
"""What messages ask for where the packaged nouns do not do."""

OPTION = "--model.semantics.path (SAKE: --model.wordnet)"
"""Options that name the folder."""

_VERSION = "WordNet 3.0"  # numbers of ImageNet's classes are those of this version


@dataclass(frozen=True)
class Nouns:
    """Synsets of nouns, each by its number in WordNet 3.0: n02084071 of ImageNet is 2084071.

    Attributes:
        lemmas: Words of each synset, with underscores, in WordNet's order.
        parents: Synsets of which each is a kind or an instance.
        senses: Synsets of each word in lower case, by the number of the sense from 1.
        complete: Whether these are all nouns.
    """

    lemmas: Mapping[int, tuple[str, ...]]
    parents: Mapping[int, tuple[int, ...]]
    senses: Mapping[str, Mapping[int, int]]
    complete: bool

    def ancestors(self, synset: int) -> dict[int, int]:
        """A synset and all above it, with the fewest steps up to each."""
        steps, level = {synset: 0}, [synset]
        while level:
            above = dict.fromkeys(parent for child in level for parent in self.parents[child])
            level = [parent for parent in above if parent not in steps]
            steps |= dict.fromkeys(level, max(steps.values()) + 1)
        return steps


def read_nouns(path: str | None = None) -> Nouns:
    """Nouns of a folder of WordNet 3.0; those of the package without one.

    Raises:
        SketchClipError: If the folder lacks a file, or holds another version or something else.
    """
    if path is None:
        return _read_packaged(PACKAGED.read_text("utf-8"))
    try:
        data = (Path(path) / "data.noun").read_text("utf-8").splitlines()
        index = (Path(path) / "index.noun").read_text("utf-8").splitlines()
        if not any(_VERSION in line for line in data if line.startswith("  ")):
            raise ValueError(f"the head of data.noun does not name {_VERSION}")
        return _read_database(data, index)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise SketchClipError(
            f"{path}: expected {INSTALL}. Found: {type(error).__name__}, {first_line(error)}. Name "
            f"that folder with {OPTION}, or null for the nouns in the package."
        ) from error


def write_nouns(nouns: Nouns, wanted: set[int]) -> str:
    """Lines of the packaged file: wanted synsets and all above them, by number.

    A line has number, words with the number of their sense, and numbers of the synsets above,
    between tabs.
    """
    number = {
        (lemma, synset): sense
        for lemma, senses in nouns.senses.items()
        for sense, synset in senses.items()
    }
    lines = []
    for synset in sorted({above for found in wanted for above in nouns.ancestors(found)}):
        words = (f"{word}#{number[word.lower(), synset]}" for word in nouns.lemmas[synset])
        parents = (f"{parent:08d}" for parent in nouns.parents[synset])
        lines.append("\t".join([f"{synset:08d}", " ".join(words), " ".join(parents)]).rstrip())
    return "".join(f"{line}\n" for line in lines)


def _read_packaged(text: str) -> Nouns:
    lemmas, parents = {}, {}
    senses: dict[str, dict[int, int]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        number, words, *above = line.split("\t")
        synset = int(number)
        numbered = [word.rsplit("#", 1) for word in words.split()]
        lemmas[synset] = tuple(word for word, _ in numbered)
        parents[synset] = tuple(map(int, " ".join(above).split()))
        for word, sense in numbered:
            senses.setdefault(word.lower(), {})[int(sense)] = synset
    return Nouns(lemmas, parents, senses, complete=False)


def _read_database(data: list[str], index: list[str]) -> Nouns:
    """Read the lines that wndb(5WN) describes; those that begin with spaces are the licence."""
    lemmas, parents, senses = {}, {}, {}
    for line in data:
        if line.startswith("  "):
            continue
        fields = line.split(" | ")[0].split()
        words = int(fields[3], 16)
        lemmas[int(fields[0])] = tuple(fields[4 : 4 + 2 * words : 2])
        pointers = fields[5 + 2 * words :]
        if len(pointers) != 4 * int(fields[4 + 2 * words]):
            raise ValueError(f"synset {fields[0]} is incomplete")
        # Hypernyms, and what an instance such as Eiffel_Tower is one of.
        above = zip(pointers[::4], pointers[1::4], strict=True)
        parents[int(fields[0])] = tuple(int(up) for kind, up in above if kind in ("@", "@i"))
    for line in index:
        if line.startswith("  "):
            continue
        lemma, _, count, *rest = line.split()
        senses[lemma] = dict(enumerate(map(int, rest[-int(count) :]), start=1))
    known = parents.keys()
    if not known >= {up for above in parents.values() for up in above}:
        raise ValueError("data.noun lacks synsets that others name")
    if not known >= {synset for found in senses.values() for synset in found.values()}:
        raise ValueError("data.noun lacks synsets that index.noun names")
    return Nouns(lemmas, parents, senses, complete=True)
