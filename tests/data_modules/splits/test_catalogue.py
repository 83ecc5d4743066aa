"""Class names, layouts of the archives, splits, and which files training and test get."""

import shutil
import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.listing.names import align, canonical
from data_modules.splits.split import named_splits, resolve_split
from sketchclip.errors import SketchClipError
from tests.helpers.trees import CLASSES, LAYOUTS, SPLITS, build, class_list, open_tree, paths

# Most trees here are partial on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*(not comparable|does not name|left out)")

# Counts and digests of the sorted canonical names: an edited list must be noticed.
PINNED = {
    "sketchy_104_21": (104, 21, "03cdb3c3450b6794"),
    "sketchy_100_25": (100, 25, "771f846d5f1097c8"),
    "tuberlin_sempcyc": (220, 30, "276ae1e4bc24a139"),
    "tuberlin_sake": (220, 30, "f718473ef558071d"),
    "quickdraw_80_30": (80, 30, "7e0ebff272a55cf5"),
}
SKETCHY_UNSEEN = """bat cabin cow dolphin door giraffe helicopter mouse pear raccoon rhinoceros saw
    scissors seagull skyscraper songbird sword tree wheelchair windmill window""".split()
QUICKDRAW_UNSEEN = """bat cow dolphin door giraffe helicopter mouse raccoon rhinoceros saw scissors
    skyscraper tree windmill feather campfire palm_tree fire_hydrant bread beach megaphone cactus
    zebra tiger shark frog banana cake hamburger fan""".split()
SEMPCYC_UNSEEN = """flying_saucer fire_hydrant walkie_talkie umbrella couch duck bicycle tablelamp
    castle snowman door_handle calculator traffic_light foot snail eyeglasses backpack swan pear
    hedgehog knife dolphin sailboat cabinet octopus purse snake truck bookshelf
    rollerblades""".split()


# Names


@pytest.mark.parametrize(
    "spelling",
    [
        *("palm tree", "palm_tree", "Palm-Tree", " palm  tree ", "PALM_TREE", "palm (tree)"),
        *("palm.tree", "palm\u2010tree", "palm\u00a0tree", "\uff50alm tree"),
    ],
)
def test_spellings_of_a_class_meet(spelling):
    assert canonical(spelling) == "palm_tree"


def test_names_that_differ_otherwise_stay_apart():
    names = ["c", "c++", "c#", "3", "3d", "3 d", "犬", "猫", "é", "e", "mouse", "mouse (animal)"]
    names += ["straße", "κύκνος", "лебедь", "cat", "cats", "bear", "teddy-bear", "&", "-", "()"]
    assert len({canonical(name) for name in names}) == len(names)
    assert canonical(unicodedata.normalize("NFD", "café")) == canonical("CAFÉ") == "café"
    assert canonical("bird's nest") == canonical("birds nest") == canonical("bird\u2019s_nest")


@given(st.text(min_size=1, max_size=12))
def test_a_canonical_name_is_its_own(name):
    assert canonical(canonical(name)) == canonical(name)


def test_no_published_list_has_two_classes_of_one_name():
    for name in named_splits():
        raw = [
            line.strip()
            for side in ("seen", "unseen")
            for line in (SPLITS / f"{name}_{side}.txt").read_text("utf-8").splitlines()
            if line.strip() and not line.startswith("#")
        ]
        assert len({canonical(c).replace("_", "") for c in raw}) == len(raw), name


def test_separators_are_ignored_only_where_one_counterpart_is_left():
    assert align(["tablelamp", "cat"], ["table_lamp", "cat"]) == {"tablelamp": "table_lamp"}
    assert align(["hotair_balloon"], ["hot_air_balloon"]) == {"hotair_balloon": "hot_air_balloon"}
    assert align(["the_eiffel_tower"], ["eiffel_tower"]) == {"the_eiffel_tower": "eiffel_tower"}
    assert align(["ab_c"], ["a_bc", "abc"]) == {}
    assert align(["ab_c", "a_bc"], ["abc"]) == {}
    assert align(["table_lamp"], ["table_lamp", "tablelamp"]) == {}  # it has its counterpart


# Splits


@pytest.mark.parametrize("name", PINNED)
def test_published_splits(name):
    seen, unseen, digest = PINNED[name]
    lists = class_list(name, "seen"), class_list(name, "unseen")
    assert tuple(map(len, lists)) == tuple(len(set(x)) for x in lists) == (seen, unseen)
    assert not set(lists[0]) & set(lists[1])
    text = "|".join(",".join(sorted(x)) for x in lists)
    assert sha256(text.encode()).hexdigest()[:16] == digest
    split = resolve_split(name, [*lists[0], *lists[1]])
    assert split.unseen == tuple(sorted(lists[1]))
    assert split.complete


def test_unseen_classes_are_the_papers():
    assert sorted(class_list("sketchy_104_21", "unseen")) == sorted(SKETCHY_UNSEEN)
    assert sorted(class_list("quickdraw_80_30", "unseen")) == sorted(QUICKDRAW_UNSEEN)
    listed = class_list("tuberlin_sempcyc", "unseen")
    assert len({*listed, *align(SEMPCYC_UNSEEN, listed)} | {*SEMPCYC_UNSEEN}) == 30


def test_two_lists_of_one_dataset_name_the_same_classes():
    for a, b in (("sketchy_104_21", "sketchy_100_25"), ("tuberlin_sempcyc", "tuberlin_sake")):
        everything = [{*class_list(n, "seen"), *class_list(n, "unseen")} for n in (a, b)]
        assert everything[0] == everything[1]


def test_random_split_depends_on_its_seed_alone():
    names = [f"c{i}" for i in range(20)]
    first = resolve_split("random:5:0", names)
    assert resolve_split("random:5:0", names[::-1]) == first
    assert resolve_split("random:5:1", names).unseen != first.unseen
    assert len(first.unseen) == 5
    assert sorted(first.seen + first.unseen) == sorted(names)


@pytest.mark.parametrize(
    ("text", "unseen"),
    [
        ("hot air balloon\nclass 1\n", ["class_1", "hotair_balloon"]),
        ("\ufeff# mine\nHot-Air_Balloon 0\nclass 1 1\n", ["class_1", "hotair_balloon"]),
        ("class 1\nclass 2\n", ["class_1", "class_2"]),  # the number belongs to the name
        ("class 1 # mine\nclass 2\t#2\n", ["class_1", "class_2"]),
        ("cat\t4\nhot air balloon\t5\n", ["cat", "hotair_balloon"]),
        ("cat\ncat\nclass 1", ["cat", "class_1"]),
    ],
)
def test_a_users_file(tmp_path, text, unseen):
    path = tmp_path / "unseen.txt"
    path.write_text(text, encoding="utf-8")
    names = ["cat", "dog", "hotair_balloon", "class_1", "class_2"]
    assert list(resolve_split(str(path), names).unseen) == unseen


def test_a_users_file_must_fit(tmp_path):
    path = tmp_path / "unseen.txt"
    for text, message in (
        ("cat\ngriffin\n", r"1 of its 2 classes: griffin\. Found 5 .*random:2:0"),
        ("class 1\nclass 7\n", r"1 of its 2 classes: class_7 \(nearest: class_[12]\)\. Correct"),
        (
            "cat\n",
            r"4 seen and 1 unseen.*Use --data\.split=random:2:0 --data\.validation=none\.",
        ),
    ):
        path.write_text(text)
        with pytest.raises(SketchClipError, match=message):
            resolve_split(str(path), ["cat", "dog", "bee", "class_1", "class_2"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SketchClipError, match="UTF-8"):
        resolve_split(str(path), ["cat", "dog"])


# Layouts


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name):
    tree = LAYOUTS[name]
    data = open_tree(name, build(name, tmp_path / "a"))
    sketches, photos = data.catalogue.files.listing
    published = [n for n in named_splits() if n == data.default_split]
    expected = {c for n in published for side in ("seen", "unseen") for c in class_list(n, side)}
    given_names = {canonical(c) for c in CLASSES[tree.dataset]}
    assert {*sketches} == {*photos} == given_names
    assert not expected or given_names <= expected, "every spelling is one of the split's"
    assert {len(files) for files in sketches.values()} == {2}
    assert {len(files) for files in photos.values()} == {6 if tree.extended else 3}
    assert data.catalogue.files.alone == []
    for files in (*sketches.values(), *photos.values()):
        assert len({*files}) == len(files)
        assert all(Path(str(path).split("#")[0]).is_file() for path in files)
    if not tree.arguments:
        assert data.catalogue.files.layout.root == tmp_path / "a"
    queries = data.catalogue.queries(data.catalogue.test_classes)
    assert paths(queries)
    assert (
        {*queries}
        == {*data.catalogue.split.unseen}
        == {*data.catalogue.gallery(data.catalogue.test_classes)}
    )


@pytest.mark.parametrize("name", [n for n, tree in LAYOUTS.items() if not tree.arguments])
def test_root_may_be_near_the_dataset(tmp_path, name):
    build(name, tmp_path / "sets" / "mine")
    data = open_tree(name, tmp_path / "sets" / "mine")
    listing = data.catalogue.files.listing
    (tmp_path / "sets" / "__MACOSX" / "sketch").mkdir(parents=True)
    (tmp_path / "sets" / "notes.txt").write_text("hello")
    assert open_tree(name, tmp_path / "sets").catalogue.files.listing == listing
    assert open_tree(name, tmp_path).catalogue.files.listing == listing
    for inside in data.catalogue.files.layout.folders:
        assert open_tree(name, inside).catalogue.files.listing == listing
        assert open_tree(name, inside.parent).catalogue.files.listing == listing


def test_two_datasets_below_root_are_no_choice_of_ours(tmp_path):
    for folder in ("a", "b"):
        build("folder", tmp_path / folder)
    with pytest.raises(SketchClipError, match=r"2 folders .*/a, .*/b\. Name one with --data\.root"):
        open_tree("folder", tmp_path).catalogue.files.listing  # noqa: B018


def test_relative_root(tmp_path, monkeypatch):
    build("sketchy_extended", tmp_path)
    monkeypatch.chdir(tmp_path / "256x256")
    assert len(open_tree("sketchy_extended", Path()).catalogue.files.listing[1]["airplane"]) == 6


def test_variants_of_sketchy(tmp_path):
    """The untouched images are the default; the only other variant is taken, two are a riddle."""
    build("sketchy", tmp_path)
    for side in ("sketch", "photo"):
        folder = tmp_path / "256x256" / side / "tx_000000000000"
        shutil.copytree(folder, folder.with_name("tx_000100000000"))
    assert open_tree("sketchy", tmp_path).catalogue.files.layout.sketches.name == "tx_000000000000"
    given_files = {"sketch_files": "256x256/sketch/tx_000100000000/<class>/*"}
    sketches, photos = open_tree("sketchy", tmp_path, **given_files).catalogue.files.listing
    assert {p.parts[-3] for p in paths(sketches)} == {"tx_000100000000"}
    assert {p.parts[-3] for p in paths(photos)} == {"tx_000000000000"}
    for side in ("sketch", "photo"):
        shutil.rmtree(tmp_path / "256x256" / side / "tx_000000000000")
    assert open_tree("sketchy", tmp_path).catalogue.files.layout.sketches.name == "tx_000100000000"
    shutil.copytree(
        tmp_path / "256x256/sketch/tx_000100000000", tmp_path / "256x256/sketch/tx_000000000010"
    )
    with pytest.raises(SketchClipError, match="expected 256x256/sketch/tx_"):
        open_tree("sketchy", tmp_path).catalogue.files.listing  # noqa: B018


def test_files_that_are_no_data_are_ignored(tmp_path):
    build("folder", tmp_path)
    clean = open_tree("folder", tmp_path).catalogue.files.listing
    for folder in (tmp_path / "sketch", tmp_path / "sketch" / "bee", tmp_path / "photo" / "bee"):
        for name in ("Thumbs.db", ".DS_Store", "._a.png", "class_labels.txt", "desktop.ini"):
            (folder / name).write_text("x")
        (folder / "__MACOSX").mkdir()
        (folder / ".cache").mkdir()
    assert open_tree("folder", tmp_path).catalogue.files.listing == clean


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.JPG", "a.webp", "a.BMP", "a.JPEG"])
def test_endings_in_any_case(tmp_path, name):
    build("folder", tmp_path, ["bee", "ant", "cat", "dog"], photos=1)
    photo = next((tmp_path / "photo" / "bee").iterdir())
    photo.rename(photo.with_name(name))
    assert [p.name for p in open_tree("folder", tmp_path).catalogue.files.listing[1]["bee"]] == [
        name
    ]


def test_drawings(tmp_path):
    data = open_tree("quickdraw_ndjson", build("quickdraw_ndjson", tmp_path, sketches=3))
    names = [path.name for path in data.catalogue.files.listing[0]["palm_tree"]]
    assert names == [f"palm tree.ndjson#{n}" for n in range(3)]
    # As Google's storage names a download; and the name that Quick, Draw! has for the tower.
    folder = tmp_path / "sketches"
    (folder / "eiffel tower.ndjson").rename(folder / "full_simplified_The Eiffel Tower.ndjson")
    assert (
        open_tree("quickdraw_ndjson", tmp_path).catalogue.files.listing[0].keys()
        == data.catalogue.files.listing[0].keys()
    )
    (folder / "palm tree").mkdir()
    (folder / "palm tree" / "1.png").touch()
    with pytest.raises(SketchClipError, match=r"'palm tree' .*folder and as an \.ndjson"):
        open_tree("quickdraw_ndjson", tmp_path).catalogue.files.listing  # noqa: B018


def test_a_drawing_that_is_there_as_an_image_counts_once(tmp_path):
    build("tuberlin_own", tmp_path)
    (tmp_path / "png" / "airplane" / "1.svg").write_text("<svg/>")
    (tmp_path / "png" / "airplane" / "9.svg").write_text("<svg/>")
    names = [
        p.name for p in open_tree("tuberlin_own", tmp_path).catalogue.files.listing[0]["airplane"]
    ]
    assert names == ["1.png", "2.png", "9.svg"]


def test_two_folders_of_one_name_are_an_error(tmp_path):
    build("folder", tmp_path, ["red panda", "bee", "ant", "cat"])
    build("folder", tmp_path, ["Red-Panda"])
    with pytest.raises(SketchClipError, match=r"'Red-Panda' and 'red panda' are one class"):
        open_tree("folder", tmp_path).catalogue.files.listing  # noqa: B018


def test_sides_and_split_may_be_spelled_in_their_own_way(tmp_path):
    build("tuberlin_ready", tmp_path)
    renamed = {"png_ready/tablelamp": "table lamp", "png_ready/hot air balloon": "hotair balloon"}
    renamed["ImageResized_ready/pipe (for smoking)"] = "pipe_for_smoking"
    renamed["ImageResized_ready/frying-pan"] = "fryingpan"
    for old, new in renamed.items():
        (tmp_path / old).rename(tmp_path / old.split("/")[0] / new)
    data = open_tree("tuberlin_ready", tmp_path, split="tuberlin_sake")
    assert data.catalogue.files.alone == []
    assert {*data.catalogue.files.listing[0]} == {canonical(c) for c in CLASSES["TUBerlin"]}
    assert {"hot_air_balloon", "frying_pan"} <= {*data.catalogue.split.unseen}
    assert open_tree("tuberlin_ready", tmp_path).catalogue.split.unseen == (
        "rollerblades",
        "swan",
        "tablelamp",
    )


def test_patterns_that_cover_both_sides(tmp_path):
    build("folder_by_name", tmp_path)
    data = open_tree("folder_by_name", tmp_path)
    assert all(p.stem.endswith("_sketch") for p in paths(data.catalogue.files.listing[0]))
    assert not any(p.stem.endswith("_sketch") for p in paths(data.catalogue.files.listing[1]))
    for settings_, message in (
        ({"sketch_files": "<class>/*"}, r"no image that is no sketch"),
        ({"sketch_files": "<class>/*_s.png"}, r"matches no image .*Found for example 3d/0\.png"),
        ({"sketch_files": "sketch/*"}, r"'sketch/\*': expected .*<class>"),
        ({"photo_files": "../<class>/*"}, r"relative to the data root"),
        ({"photo_files": str(tmp_path / "<class>/*")}, r"relative to the data root"),
    ):
        with pytest.raises(SketchClipError, match=message):
            open_tree("folder_by_name", tmp_path, **settings_).catalogue.files.listing  # noqa: B018


# Incomplete archives


def test_incomplete_archive_trains_and_says_so(tmp_path):
    build("tuberlin_ready", tmp_path, ["airplane", "alarm clock", "bed", "bee", "table", "griffin"])
    shutil.rmtree(tmp_path / "ImageResized_ready" / "table")
    data = open_tree("tuberlin_ready", tmp_path)
    with pytest.warns(UserWarning, match="not comparable") as caught:
        assert len(data.catalogue.training[0]) == 2
    messages = [str(w.message) for w in caught]
    assert sum("only sketches or only photos: table." in m for m in messages) == 1
    assert sum("does not name: griffin." in m for m in messages) == 1
    coverage = "4 of 220 seen, 0 of 30 unseen classes of tuberlin_sempcyc are here"
    assert sum(coverage in m and "not comparable" in m for m in messages) == 1
    assert len(messages) == 3
    assert data.catalogue.protocol_name.endswith(f"not comparable: {coverage}")
    assert len(data.catalogue.val_classes) == 2
    with pytest.raises(SketchClipError, match=r"0 of its 30 unseen .*--data\.split=random:2:0"):
        data.catalogue.test_classes  # noqa: B018
    assert (
        len(open_tree("tuberlin_ready", tmp_path, split="random:2:0").catalogue.test_classes) == 2
    )


def test_too_little_is_an_error(tmp_path):
    build("tuberlin_ready", tmp_path, ["airplane", "swan", "tablelamp"])
    data = open_tree("tuberlin_ready", tmp_path)
    assert data.catalogue.test_classes == ["swan", "tablelamp"]  # a test needs no seen class
    with (
        pytest.warns(UserWarning, match="1 seen classes are too few"),
        pytest.raises(SketchClipError, match=r"leaves 1 classes .*1 of 220 seen.*:2:0"),
    ):
        data.catalogue.training[1]
    shutil.rmtree(tmp_path)
    build("tuberlin_ready", tmp_path, ["griffin", "unicorn", "wyvern", "yeti"])
    with pytest.raises(SketchClipError, match=r"250 of its 250 classes.*--data.split=random:2:0"):
        open_tree("tuberlin_ready", tmp_path).catalogue.split  # noqa: B018


def test_test_classes_for_validation_are_warned_about(tmp_path):
    data = open_tree("folder", build("folder", tmp_path), validation="test_classes")
    with pytest.warns(UserWarning, match="has seen the test classes"):
        assert data.catalogue.val_classes == data.catalogue.test_classes
    assert len(data.class_names) == 6
    assert open_tree("folder", tmp_path, validation="none").catalogue.val_classes == []


def test_few_seen_classes_all_train_and_none_validates(tmp_path):
    data = open_tree("folder", build("folder", tmp_path), split="random:5:0")
    with pytest.warns(UserWarning, match="too few"):
        assert data.catalogue.val_classes == []
    assert len(data.class_names) == 3
