"""Paths in WordNet, class vectors from it, and likeness to ImageNet's classes."""

from importlib import import_module
from itertools import product

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from data_modules.splits.split import read_class_list
from sketchclip.nn import describe
from sketchclip.semantics import ClassSemantics, WordNetHierarchy, imagenet_similarity
from sketchclip.semantics.class_synsets import class_synsets
from sketchclip.semantics.wordnet import path_similarity
from sketchclip.semantics.wordnet_file import Nouns, read_nouns
from tests.helpers.paths import REPOSITORY
from tests.helpers.wordnet import write_database

LISTS = sorted((REPOSITORY / "data_modules" / "splits").glob("*.txt"))


@pytest.fixture(scope="module")
def nouns() -> Nouns:
    return read_nouns()


# Paths


def similarity(nouns: Nouns, first: str, second: str) -> float:
    pair = [[nouns.senses[word][1]] for word in (first, second)]
    return path_similarity(nouns, *pair).item()


@pytest.mark.parametrize(
    ("first", "second", "steps"),
    [
        ("dog", "dog", 0),
        ("dog", "wolf", 2),  # canine
        ("dog", "cat", 4),  # canine, carnivore, feline
        ("cat", "dog", 4),
        ("dog", "carnivore", 2),
        ("zebra", "horse", 2),  # equine
        ("dog", "entity", 8),  # over domestic animal, animal, ..., object, physical entity
    ],
)
def test_similarities_counted_by_hand(nouns, first, second, steps):
    assert similarity(nouns, first, second) == pytest.approx(1 / (1 + steps))


def test_paths_go_up_to_a_common_ancestor_and_never_down_between(tmp_path):
    tiny = read_nouns(str(write_database(tmp_path)))
    assert similarity(tiny, "domestic_dog", "machine") == pytest.approx(1 / 4)  # not over the robot
    assert similarity(tiny, "robot_dog", "animal") == pytest.approx(1 / 3)
    assert similarity(tiny, "robot_dog", "machine") == pytest.approx(1 / 2)
    assert similarity(tiny, "felix", "dog") == pytest.approx(1 / 3)
    apart = Nouns({}, {1: (), 2: (), 3: (1,)}, {}, complete=True)
    assert path_similarity(apart, [1, 3, 2], [2, 1]).tolist() == [[0, 1], [0, 0.5], [1, 0]]


def ways_up(nouns: Nouns, synset: int) -> list[list[int]]:
    """Every way from a synset to the top."""
    parents = nouns.parents[synset]
    return [[synset, *way] for up in parents for way in ways_up(nouns, up)] or [[synset]]


def test_similarities_are_those_of_the_shortest_of_all_ways(nouns):
    rng = np.random.default_rng(0)
    first, second = (rng.choice([*nouns.parents], 25, replace=False) for _ in range(2))
    found = path_similarity(nouns, first, second)
    assert (found.shape, found.dtype) == ((25, 25), np.float32)
    for (row, a), (column, b) in product(enumerate(first), enumerate(second)):
        shortest = min(
            one.index(node) + other.index(node)
            for one, other in product(ways_up(nouns, a), ways_up(nouns, b))
            for node in {*one} & {*other}
        )
        assert found[row, column] == pytest.approx(1 / (1 + shortest))


# Class vectors


def test_the_hierarchy_is_the_similarity_to_the_classes_and_all_above_them(nouns):
    names = ["dog", "computer-mouse", "hot-air balloon", "The Eiffel Tower"]
    vectors = WordNetHierarchy().vectors(names)
    synsets = class_synsets(nouns, names)
    nodes = {node for synset in synsets for way in ways_up(nouns, synset) for node in way}
    assert vectors.dtype == torch.float32
    assert vectors.shape == (4, len(nodes))
    expected = path_similarity(nouns, synsets, sorted(nodes))
    assert torch.equal(vectors, torch.from_numpy(expected))
    assert (vectors == 1).sum(1).tolist() == [1, 1, 1, 1]  # each is a node


def test_word_vectors_stand_in_front_with_unit_length(tmp_path):
    (tmp_path / "w.txt").write_text("zebra 3 4\ndog 0 -2\n")
    semantics = WordNetHierarchy(word_vectors=str(tmp_path / "w.txt"))
    vectors = semantics.vectors(["dog", "zebra"])
    assert vectors[:, :2].tolist() == [[0, -1], pytest.approx([0.6, 0.8])]
    assert torch.equal(vectors[:, 2:], WordNetHierarchy().vectors(["dog", "zebra"]))
    assert semantics.source == "w.txt and path similarities in WordNet 3.0"
    assert WordNetHierarchy().source == "path similarities in WordNet 3.0"


def test_settings_are_kept(tmp_path):
    settings = {"path": str(write_database(tmp_path)), "word_vectors": "w.bin", "senses": "s.txt"}
    semantics = WordNetHierarchy(**settings)
    assert describe(semantics)["init_args"] == settings
    assert not [*semantics.parameters()]
    assert WordNetHierarchy(path=settings["path"]).vectors(["robot dog", "Felix"]).shape == (2, 6)


def test_the_command_line_knows_the_classes_by_their_names():
    import_module("sketchclip.commands.trainer")
    parser = ArgumentParser()
    parser.add_argument("--semantics", type=ClassSemantics)
    for name in ("WordNetHierarchy", "WordVectorFile"):
        assert parser.parse_args([f"--semantics={name}"]).semantics.class_path.endswith(name)


# ImageNet

# Entries above 0 of the masks that SAKE's repository ships, 1 / similarity by class of ImageNet;
# for classes whose photos there have the noun of the class's name.
SAKE = {
    "church": {497: 1, 580: 4, 624: 4, 668: 3, 727: 4, 762: 4, 832: 4},
    "mouse": {333: 3, 334: 3, 336: 3, 337: 3, 338: 4},
    "zebra": {339: 4, 340: 1},
    "teapot": {427: 4, 435: 4, 463: 4, 469: 3, 505: 3, 618: 4, 666: 4, 725: 4, 849: 1, 876: 4},
    "strawberry": {949: 1, 952: 4, 953: 4, 954: 4, 955: 4, 956: 4, 957: 4},
    "mug": {427: 4, 435: 4, 463: 4, 504: 1, 618: 4, 666: 4, 725: 4, 876: 4},
    "airplane": {404: 1, 895: 3},
    "submarine": {403: 4, 833: 1},
}


def test_similarities_to_imagenet_are_those_of_sakes_masks():
    found = imagenet_similarity([*SAKE])
    expected = torch.zeros(len(SAKE), 1000)
    for row, entries in enumerate(SAKE.values()):
        for column, steps in entries.items():
            expected[row, column] = 1 / steps
    torch.testing.assert_close(found, expected)


def test_kinds_of_a_class_are_as_alike_as_the_class():
    dog, bulldozer, ear, mail = imagenet_similarity(["dog", "bulldozer", "ear", "mail"])
    assert (dog[151:269] == 1).all()  # all 118 breeds
    assert (dog == 1).sum() == 118
    assert 0 < dog[269] < 1  # the timber wolf
    assert dog[340] == 0  # the zebra is 6 steps away
    assert bulldozer[866] == 1  # a kind of tractor, which is a class
    assert not ear.any()  # the word, of corn there
    assert not mail.any()  # the word, armour there


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_shipped_class_has_a_noun_of_its_own(nouns, path):
    names = read_class_list(path.read_text("utf-8"))
    synsets = class_synsets(nouns, names)
    assert len({*synsets}) == len(names) >= 14
