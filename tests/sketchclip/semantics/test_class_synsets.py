"""The noun that a class name stands for."""

import subprocess
import sys

import pytest

from sketchclip.errors import SketchClipError
from sketchclip.semantics import WordNetHierarchy
from sketchclip.semantics.class_synsets import SENSES, class_synsets, read_senses
from sketchclip.semantics.wordnet_file import Nouns, read_nouns
from tools.quickdraw_caltech import FOLDERS
from tools.wordnet_nouns import class_names


@pytest.fixture(scope="module")
def nouns() -> Nouns:
    return read_nouns()


def build(complete: bool, **senses: int) -> Nouns:
    """Nouns without a hierarchy; dog_2 is the second sense of dog."""
    by_lemma: dict[str, dict[int, int]] = {}
    for name, synset in senses.items():
        lemma, _, number = name.rpartition("_") if name[-1].isdigit() else (name, "", "1")
        by_lemma.setdefault(lemma, {})[int(number)] = synset
    return Nouns({}, dict.fromkeys(senses.values(), ()), by_lemma, complete)


# Numbers of ImageNet in the file names of Sketchy's photos of a class.
SKETCHY = {
    "banana": 7753592,
    "bat": 2139199,
    "castle": 2980441,
    "cannon": 2950826,
    "car_(sedan)": 4166281,
    "chicken": 1791625,
    "church": 3028079,
    "dolphin": 2068974,
    "hammer": 3481172,
    "hot-air_balloon": 3541923,
    "hotdog": 7697537,
    "jack-o-lantern": 3590841,
    "jellyfish": 1910747,
    "mouse": 2330245,
    "pineapple": 7753275,
    "raccoon": 2508021,
    "racket": 4039381,
    "saw": 4140064,
    "scorpion": 1770393,
    "seal": 2076196,
    "table": 4379243,
    "tiger": 2129604,
    "volcano": 9472597,
}


def test_classes_of_sketchy_are_what_their_photos_show(nouns):
    assert dict(zip(SKETCHY, class_synsets(nouns, [*SKETCHY]), strict=True)) == SKETCHY


@pytest.mark.parametrize(
    ("name", "above"),
    [
        ("mouse (animal)", "rodent"),
        ("computer-mouse", "electronic_device"),
        ("bear (animal)", "carnivore"),
        ("crane (machine)", "lifting_device"),
        ("pipe (for smoking)", "tube"),
        ("ray", "fish"),
        ("turtle", "reptile"),
        ("whale", "mammal"),
        ("mug", "container"),
        ("cup", "container"),
        ("calculator", "machine"),
        ("fan", "device"),
        ("power outlet", "receptacle"),
        ("satellite dish", "antenna"),
        ("tablelamp", "lamp"),
        ("head-phones", "electro-acoustic_transducer"),
        ("T-Shirt", "garment"),
        ("pants", "garment"),
        ("van", "truck"),
        ("tank", "armored_vehicle"),
        ("rollerblades", "skate"),
        ("The Eiffel Tower", "tower"),
        ("grapes", "edible_fruit"),
        ("pumpkin", "vegetable"),
        ("person walking", "person"),
        ("blimp", "aircraft"),
        ("crown", "jewelled_headdress"),
        ("transport-water", "vehicle"),
    ],
)
def test_the_sense_that_is_drawn(nouns, name, above):
    ancestors = nouns.ancestors(*class_synsets(nouns, [name]))
    assert above in {lemma for synset in ancestors for lemma in nouns.lemmas[synset]}


def test_things_that_are_drawn_are_things(nouns):
    """What is no physical entity in WordNet is a being of myth, a sign, a sight or a gift."""
    sketched = [name for name in class_names() if name not in EMOJI]
    synsets = class_synsets(nouns, sketched)
    physical = nouns.senses["physical_entity"][1]
    pairs = zip(sketched, synsets, strict=True)
    assert {name for name, synset in pairs if physical not in nouns.ancestors(synset)} == {
        *("angel", "dragon", "mermaid", "flying_saucer", "sponge_bob"),
        *("stop_sign", "traffic_light", "calendar", "star", "yoga"),
        *("campfire", "rainbow", "present"),
    }


EMOJI = {"emotion", "event", "heart", "mail", "music", "sound"}
EMOJI |= {"person_activity", "person_fantasy", "person_gesture"}


def test_packaged_senses_are_of_shipped_classes_and_differ_from_what_is_found_without(nouns):
    chosen = read_senses(SENSES)
    known = {*class_names(), *FOLDERS}  # also of the photos that a tool lays out
    shipped = {name.replace("_", ""): name for name in known}
    for name, noun in chosen.items():
        lemma, number = noun.split("#")
        spelled = shipped[name]
        first = nouns.senses.get(spelled, {}).get(1)
        assert nouns.senses[lemma][int(number)] != first, f"{name} needs no line"


# The rules


@pytest.mark.parametrize(
    ("name", "synset"),
    [
        ("dog", 1),
        ("Dog", 1),
        ("guide dog", 3),
        ("Guide-Dog", 3),
        ("guidedog", 3),
        ("guide_dogs", 3),
        ("big red dogs", 1),
        ("big (red) box", 4),
        ("boxes", 4),
        ("two policemen", 5),
        ("berries", 6),
        ("back_pack", 8),
        ("backpack", 7),
        ("back packs", 8),
        ("glasses", 10),
        ("watch glass", 9),
    ],
)
def test_whole_names_come_before_singulars_and_endings(name, synset):
    whole = build(
        *(True,),
        **{"dog": 1, "dog_2": 2, "guide_dog_1": 3, "box": 4, "policeman": 5, "berry": 6},
        **{"backpack": 7, "back_pack_1": 8, "glass": 9, "glasses": 10},
    )
    assert class_synsets(whole, [name]) == [synset]


def test_the_packaged_nouns_do_not_guess(nouns):
    """Pig is there, guinea pig is not: without all of WordNet its last word may mislead."""
    wrong = ["guinea pig", "pigs", "bank"]
    with pytest.raises(SketchClipError) as caught:
        class_synsets(nouns, ["pig", *wrong, "zebra"])
    message = str(caught.value)
    assert "none for 3 of 5 classes: guinea pig; pigs; bank. Correct" in message
    assert "apt-get install wordnet-base" in message
    assert "--model.semantics.path" in message
    assert "'guinea pig = dog#1'" in message
    assert "--model.semantics.senses" in message


def test_names_that_wordnet_lacks_are_all_listed():
    whole = build(True, dog=1)
    with pytest.raises(
        SketchClipError, match=r"WordNet has none for 2 of 3 classes: xyz; a b\."
    ) as e:
        class_synsets(whole, ["xyz", "dog", "a b"])
    assert "wordnet-base" not in str(e.value)  # it is there


def test_a_file_of_senses_comes_first(tmp_path):
    path = tmp_path / "senses.txt"
    path.write_text("# mine\n\nMug = Dog#2\n car (red)=n00000001 \ncrane (machine) = guide_dog#1\n")
    whole = build(True, dog=1, dog_2=2, guide_dog_1=3, mug=4, car_red_1=5)
    names = ["mug", "car_red", "Crane-Machine", "dog"]
    assert class_synsets(whole, names, str(path)) == [2, 1, 3, 1]


@pytest.mark.parametrize(
    "line", ["mug", "mug = mug", "= mug#1", "mug = ", "mug = mug#four", "mug = n123", "a = b = c#1"]
)
def test_a_bad_line_of_senses_is_shown(tmp_path, line):
    path = tmp_path / "senses.txt"
    path.write_text(f"dog = dog#1\n{line}\n")
    with pytest.raises(SketchClipError) as caught:
        WordNetHierarchy(senses=str(path)).vectors(["zebra", "mug"])
    message = str(caught.value)
    assert str(path) in message
    assert f"the line '{line.strip()}'" in message
    assert "'mug = mug#4'" in message


def test_a_missing_file_of_senses_is_refused(tmp_path):
    with pytest.raises(SketchClipError, match=r"none\.txt.*FileNotFoundError"):
        read_senses(tmp_path / "none.txt")


@pytest.mark.parametrize("noun", ["dog#3", "frog#1", "n00000009"])
def test_a_sense_that_is_not_there(tmp_path, noun):
    path = tmp_path / "senses.txt"
    path.write_text(f"mug = {noun}\n")
    with pytest.raises(SketchClipError, match=f"'mug = {noun}': WordNet 3.0 has no such noun"):
        class_synsets(build(True, dog=1, dog_2=2), ["mug"], str(path))
    with pytest.raises(SketchClipError, match="none for 1 of 1 classes: mug"):  # may be in WordNet
        class_synsets(build(False, dog=1, dog_2=2), ["mug"], str(path))


def test_names_and_files_are_read_without_pytorch():
    modules = ", ".join(
        f"sketchclip.semantics.{name}"
        for name in ("class_names", "class_synsets", "vector_file", "wordnet_file")
    )
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_classes_of_the_photos_that_a_tool_lays_out_have_nouns(nouns):
    assert len({*class_synsets(nouns, [*FOLDERS])}) == len(FOLDERS)
