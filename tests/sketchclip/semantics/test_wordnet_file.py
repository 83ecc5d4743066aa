"""Files of nouns: WordNet's own, and those of the package."""

from pathlib import Path

import pytest
from timm.data import ImageNetInfo

from sketchclip.errors import SketchClipError
from sketchclip.semantics.class_synsets import class_synsets
from sketchclip.semantics.wordnet_file import PACKAGED, Nouns, read_nouns
from tests.helpers.wordnet import TINY, write_database
from tools import wordnet_nouns

DEBIAN = Path("/usr/share/wordnet")
IMAGENET = ImageNetInfo("imagenet-1k")


@pytest.fixture(scope="module")
def nouns() -> Nouns:
    return read_nouns()


def test_a_folder_of_wordnet_is_read(tmp_path):
    nouns = read_nouns(str(write_database(tmp_path)))
    assert nouns.complete
    assert nouns.lemmas[600] == ("Felix", "Felix_the_Cat")
    assert nouns.parents == {number: tuple(above) for number, (_, above, _) in TINY.items()}
    assert nouns.senses["dog"] == {1: 400, 2: 700}
    assert nouns.senses["felix_the_cat"] == {1: 600}
    assert nouns.ancestors(500) == {500: 0, 400: 1, 300: 1, 200: 2, 100: 2}


def spoil(name: str, old: str, new: str):
    def inner(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return inner


SPOILED = {
    "another version": (spoil("data.noun", "3.0", "3.1"), "does not name WordNet 3.0"),
    "no data": (lambda folder: (folder / "data.noun").unlink(), "FileNotFoundError"),
    "no index": (lambda folder: (folder / "index.noun").unlink(), "FileNotFoundError"),
    "cut line": (spoil("data.noun", " n 0000 ~ 00000500", ""), "synset 00000200 is incomplete"),
    "cut file": (
        lambda folder: (folder / "data.noun").write_text("  WordNet 3.0\n00000200 05 n 01"),
        "IndexError",
    ),
    "lacks a parent": (spoil("data.noun", "00000100 05", "00000101 05"), "others name"),
    "lacks a sense": (spoil("index.noun", "00000700", "00000701"), "index.noun names"),
    "other text": (spoil("index.noun", "cat n 1", "cat n one"), "ValueError"),
}


@pytest.mark.parametrize(("damage", "says"), SPOILED.values(), ids=SPOILED)
def test_a_folder_of_something_else_is_refused(tmp_path, damage, says):
    damage(write_database(tmp_path))
    with pytest.raises(SketchClipError) as caught:
        read_nouns(str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: expected the folder of WordNet 3.0 with data.noun")
    assert says in message
    assert "apt-get install wordnet-base" in message
    assert "--model.semantics.path" in message


def test_the_packaged_nouns_are_those_of_imagenet_and_the_shipped_lists(nouns):
    needed = {int(name[1:]) for name in IMAGENET.label_names()}
    needed |= {*class_synsets(nouns, wordnet_nouns.class_names())}
    above = {node for synset in needed for node in nouns.ancestors(synset)}
    lines = [n for n in PACKAGED.read_text("utf-8").splitlines() if not n.startswith("#")]
    assert [int(line.split("\t")[0]) for line in lines] == sorted(above)
    assert not nouns.complete
    assert [synset for synset, parents in nouns.parents.items() if not parents] == [1740]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package wordnet-base")
def test_the_packaged_files_are_what_the_tool_writes(nouns):
    whole = read_nouns(str(DEBIAN))
    assert PACKAGED.read_text("utf-8") == wordnet_nouns.build(whole)
    assert wordnet_nouns.LICENCE.read_text("utf-8") == wordnet_nouns.licence(str(DEBIAN))
    assert len(whole.parents) == 82_115
    # A name that the packaged nouns know is the same noun among all.
    known = [lemma for lemma, senses in nouns.senses.items() if 1 in senses]
    assert class_synsets(nouns, known) == class_synsets(whole, known)


def test_words_of_imagenets_classes_are_those_that_timm_lists(nouns):
    for at, name in enumerate(IMAGENET.label_names()):
        listed = IMAGENET.index_to_description(at).replace(" ", "_").split(",_")
        assert [*nouns.lemmas[int(name[1:])]] == listed
