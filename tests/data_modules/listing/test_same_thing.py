"""Names of one thing in two datasets: spelling, plural, listed synonyms, and nothing else."""

import csv
from importlib.resources import files
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.listing.same_thing import same_classes, thing
from data_modules.splits.split import named_splits, packaged_list

SYNONYMS = list(
    csv.DictReader((files("data_modules.listing") / "synonyms.csv").read_text("utf-8").splitlines())
)
DATASETS = {
    name: [*packaged_list(name, "seen"), *packaged_list(name, "unseen")]
    for name in ("sketchy_104_21", "tuberlin_sempcyc", "quickdraw_80_30", "doodles")
}


def test_every_synonym_has_a_reason_and_leads_to_a_name_that_has_none():
    assert all(set(row) == {"name", "same_as", "reason"} and all(row.values()) for row in SYNONYMS)
    names = [thing_row["name"] for thing_row in SYNONYMS]
    assert len({*names}) == len(names)
    assert not {*names} & {row["same_as"] for row in SYNONYMS}
    for row in SYNONYMS:
        assert thing(row["name"]) == thing(row["same_as"])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *(("aeroplane", "airplane"), ("car_(sedan)", "Car"), ("t_shirt", "T-shirt")),
        *(("hot_air_balloon", "hot-air balloon"), ("cell phone", "cellphone")),
        *(("motorbike", "motorcycle"), ("socks", "sock"), ("tv", "television")),
        *(("mouse (animal)", "mouse"), ("Bird's nests", "birds_nest"), ("sofas", "couch")),
        *(("bus", "buses"), ("fox", "foxes"), ("church", "churches"), ("brush", "brushes")),
        *(("butterfly", "butterflies"), ("strawberry", "strawberries"), ("movie", "movies")),
        *(("horse", "horses"), ("vase", "vases"), ("shoe", "shoes"), ("potato", "potatoes")),
        *(("knife", "knives"), ("wolf", "wolves"), ("mouse", "mice"), ("glove", "gloves")),
        *(("café", "cafe"), ("apple", "ap\u200bple"), ("plane", "aeroplane"), ("bike", "bicycles")),
    ],
)
def test_one_thing(name, other):
    assert same_classes([name], [other]) == {name: other}
    assert same_classes([other], [name]) == {other: name}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *(("cup", "mug"), ("chicken", "rooster"), ("car", "race car"), ("glass", "glasses")),
        *(("bus", "bu"), ("bass", "bas"), ("computer-mouse", "mouse"), ("c", "cs"), ("3", "3s")),
        *(("truck", "pickup truck"), ("bat", "baseball bat"), ("princes", "princess")),
        *(("sky", "ski"), ("cap", "cape"), ("cafe", "cave"), ("can", "cane"), ("cub", "cube")),
    ],
)
def test_two_things(name, other):
    assert same_classes([name], [other]) == {}


@pytest.mark.parametrize("split", named_splits())
def test_what_a_dataset_keeps_apart_stays_apart(split):
    seen, unseen = packaged_list(split, "seen"), packaged_list(split, "unseen")
    assert {*same_classes([*seen, *unseen], seen)} == {*seen}
    assert {*same_classes([*seen, *unseen], unseen)} == {*unseen}


def test_overlaps_of_the_datasets():
    sketchy, tuberlin, quickdraw, doodles = DATASETS.values()
    found = same_classes(tuberlin, sketchy)
    assert {n: o for n, o in found.items() if n not in sketchy and "_".join(o.split("-")) != n} == {
        "bear_animal": "bear",
        "crocodile": "crocodilian",
        "flower_with_stem": "flower",
        "hot_dog": "hotdog",
        "motorbike": "motorcycle",
        "mouse_animal": "mouse",
        "tennis_racket": "racket",
    }
    assert {"car", "motorcycle", "crocodilian"} <= {*same_classes(quickdraw, sketchy)}
    birds = {n for n, other in same_classes(tuberlin, doodles).items() if other == "bird"}
    assert birds == {"flying_bird", "standing_bird"}
    assert same_classes(doodles, tuberlin)["bird"] in birds
    for one, other in permutations(DATASETS.values(), 2):
        assert {*one} & {*other} <= {*same_classes(one, other)} <= {*one}


@given(
    st.lists(st.sampled_from(DATASETS["doodles"]), unique=True),
    st.lists(st.sampled_from(DATASETS["tuberlin_sempcyc"])),
    st.randoms(use_true_random=False),
)
def test_order_and_repeats_do_not_matter(names, others, random):
    found = same_classes(names, others)
    shuffled = random.sample(others, len(others))
    assert [*found] == [name for name in names if name in found]
    assert {*same_classes(names, shuffled * 2)} == {*found}
    assert {*same_classes(names, [*others, *names])} == {*names}
    # A larger list removes at least as much.
    assert {*same_classes(names, others[: len(others) // 2])} <= {*found}
