"""Class names, layouts of the archives, splits, and which files training and test get."""

import inspect
import itertools
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data_modules
from data_modules import Doodles, EmojiPairs, QuickDraw, SketchPhotoFolder, Sketchy, TUBerlin
from data_modules.catalogue import Catalogue
from data_modules.names import align, canonical
from data_modules.published import Published
from data_modules.sketchy import SketchyBasic
from data_modules.split import named_splits, read_class_list, resolve_split
from data_modules.subsets import draw, part
from sketchclip.errors import SketchClipError
from tests.trees import CLASSES, LAYOUTS, build

# Most trees here are partial on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*(not comparable|does not name|left out)")

SPLITS = Path(data_modules.__file__).parent / "splits"
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


def class_list(name: str, side: str) -> list[str]:
    return read_class_list((SPLITS / f"{name}_{side}.txt").read_text("utf-8"))


def paths(listing: dict[str, list[Path]]) -> list[Path]:
    return [path for files in listing.values() for path in files]


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
        ("cat\ngriffin\n", r"names 1 of 2 classes .* griffin\. Found 5 .*random:2:0"),
        ("class 1\nclass 7\n", r"names 1 of 2 classes .* class_7\."),
        ("cat\n", r"4 seen and 1 unseen.*at least 2 of each"),
    ):
        path.write_text(text)
        with pytest.raises(SketchClipError, match=message):
            resolve_split(str(path), ["cat", "dog", "bee", "class_1", "class_2"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SketchClipError, match="UTF-8"):
        resolve_split(str(path), ["cat", "dog"])


# Layouts


def open_tree(name: str, root: Path, **settings: object) -> Catalogue:
    tree = LAYOUTS[name]
    split = None if tree.dataset != "SketchPhotoFolder" else "random:2:0"
    arguments = {"root": str(root), "split": split, "num_workers": 0, **tree.arguments, **settings}
    return getattr(data_modules, tree.dataset)(**arguments)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name):
    tree = LAYOUTS[name]
    data = open_tree(name, build(name, tmp_path / "a"))
    sketches, photos = data.listing
    published = [n for n in named_splits() if n == data.default_split]
    expected = {c for n in published for side in ("seen", "unseen") for c in class_list(n, side)}
    given_names = {canonical(c) for c in CLASSES[tree.dataset]}
    assert {*sketches} == {*photos} == given_names
    assert not expected or given_names <= expected, "every spelling is one of the split's"
    assert {len(files) for files in sketches.values()} == {2}
    assert {len(files) for files in photos.values()} == {6 if tree.extended else 3}
    assert data.alone == []
    for files in (*sketches.values(), *photos.values()):
        assert len({*files}) == len(files)
        assert all(Path(str(path).split("#")[0]).is_file() for path in files)
    if not tree.arguments:
        assert data.layout.root == tmp_path / "a"
    queries = data.query_sketches(data.test_classes)
    assert paths(queries)
    assert {*queries} == {*data.split.unseen} == {*data.gallery_photos(data.test_classes)}


@pytest.mark.parametrize("name", [n for n, tree in LAYOUTS.items() if not tree.arguments])
def test_root_may_be_near_the_dataset(tmp_path, name):
    build(name, tmp_path / "sets" / "mine")
    data = open_tree(name, tmp_path / "sets" / "mine")
    listing = data.listing
    (tmp_path / "sets" / "__MACOSX" / "sketch").mkdir(parents=True)
    (tmp_path / "sets" / "notes.txt").write_text("hello")
    assert open_tree(name, tmp_path / "sets").listing == listing
    assert open_tree(name, tmp_path).listing == listing
    for inside in data.layout.folders:
        assert open_tree(name, inside).listing == listing
        assert open_tree(name, inside.parent).listing == listing


def test_two_datasets_below_root_are_no_choice_of_ours(tmp_path):
    for folder in ("a", "b"):
        build("folder", tmp_path / folder)
    with pytest.raises(SketchClipError, match=r"2 folders .*/a, .*/b\. Name one with --data\.root"):
        open_tree("folder", tmp_path).listing  # noqa: B018


def test_relative_root(tmp_path, monkeypatch):
    build("sketchy_extended", tmp_path)
    monkeypatch.chdir(tmp_path / "256x256")
    assert len(open_tree("sketchy_extended", Path()).listing[1]["airplane"]) == 6


def test_variants_of_sketchy(tmp_path):
    """The untouched images are the default; the only other variant is taken, two are a riddle."""
    build("sketchy", tmp_path)
    for side in ("sketch", "photo"):
        folder = tmp_path / "256x256" / side / "tx_000000000000"
        shutil.copytree(folder, folder.with_name("tx_000100000000"))
    assert open_tree("sketchy", tmp_path).layout.sketches.name == "tx_000000000000"
    given_files = {"sketch_files": "256x256/sketch/tx_000100000000/<class>/*"}
    sketches, photos = open_tree("sketchy", tmp_path, **given_files).listing
    assert {p.parts[-3] for p in paths(sketches)} == {"tx_000100000000"}
    assert {p.parts[-3] for p in paths(photos)} == {"tx_000000000000"}
    for side in ("sketch", "photo"):
        shutil.rmtree(tmp_path / "256x256" / side / "tx_000000000000")
    assert open_tree("sketchy", tmp_path).layout.sketches.name == "tx_000100000000"
    shutil.copytree(
        tmp_path / "256x256/sketch/tx_000100000000", tmp_path / "256x256/sketch/tx_000000000010"
    )
    with pytest.raises(SketchClipError, match="expected 256x256/sketch/tx_"):
        open_tree("sketchy", tmp_path).listing  # noqa: B018


def test_files_that_are_no_data_are_ignored(tmp_path):
    build("folder", tmp_path)
    clean = open_tree("folder", tmp_path).listing
    for folder in (tmp_path / "sketch", tmp_path / "sketch" / "bee", tmp_path / "photo" / "bee"):
        for name in ("Thumbs.db", ".DS_Store", "._a.png", "class_labels.txt", "desktop.ini"):
            (folder / name).write_text("x")
        (folder / "__MACOSX").mkdir()
        (folder / ".cache").mkdir()
    assert open_tree("folder", tmp_path).listing == clean


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.JPG", "a.webp", "a.BMP", "a.JPEG"])
def test_endings_in_any_case(tmp_path, name):
    build("folder", tmp_path, ["bee", "ant", "cat", "dog"], photos=1)
    photo = next((tmp_path / "photo" / "bee").iterdir())
    photo.rename(photo.with_name(name))
    assert [p.name for p in open_tree("folder", tmp_path).listing[1]["bee"]] == [name]


def test_drawings(tmp_path):
    data = open_tree("quickdraw_ndjson", build("quickdraw_ndjson", tmp_path, sketches=3))
    names = [path.name for path in data.listing[0]["palm_tree"]]
    assert names == [f"palm tree.ndjson#{n}" for n in range(3)]
    # As Google's storage names a download; and the name that Quick, Draw! has for the tower.
    folder = tmp_path / "sketches"
    (folder / "eiffel tower.ndjson").rename(folder / "full_simplified_The Eiffel Tower.ndjson")
    assert open_tree("quickdraw_ndjson", tmp_path).listing[0].keys() == data.listing[0].keys()
    (folder / "palm tree").mkdir()
    (folder / "palm tree" / "1.png").touch()
    with pytest.raises(SketchClipError, match=r"'palm tree' .*folder and as an \.ndjson"):
        open_tree("quickdraw_ndjson", tmp_path).listing  # noqa: B018


def test_a_drawing_that_is_there_as_an_image_counts_once(tmp_path):
    build("tuberlin_own", tmp_path)
    (tmp_path / "png" / "airplane" / "1.svg").write_text("<svg/>")
    (tmp_path / "png" / "airplane" / "9.svg").write_text("<svg/>")
    names = [p.name for p in open_tree("tuberlin_own", tmp_path).listing[0]["airplane"]]
    assert names == ["1.png", "2.png", "9.svg"]


def test_two_folders_of_one_name_are_an_error(tmp_path):
    build("folder", tmp_path, ["red panda", "bee", "ant", "cat"])
    build("folder", tmp_path, ["Red-Panda"])
    with pytest.raises(SketchClipError, match=r"'Red-Panda' and 'red panda' are one class"):
        open_tree("folder", tmp_path).listing  # noqa: B018


def test_sides_and_split_may_be_spelled_in_their_own_way(tmp_path):
    build("tuberlin_ready", tmp_path)
    renamed = {"png_ready/tablelamp": "table lamp", "png_ready/hot air balloon": "hotair balloon"}
    renamed["ImageResized_ready/pipe (for smoking)"] = "pipe_for_smoking"
    renamed["ImageResized_ready/frying-pan"] = "fryingpan"
    for old, new in renamed.items():
        (tmp_path / old).rename(tmp_path / old.split("/")[0] / new)
    data = open_tree("tuberlin_ready", tmp_path, split="tuberlin_sake")
    assert data.alone == []
    assert {*data.listing[0]} == {canonical(c) for c in CLASSES["TUBerlin"]}
    assert {"hot_air_balloon", "frying_pan"} <= {*data.split.unseen}
    assert open_tree("tuberlin_ready", tmp_path).split.unseen == (
        "rollerblades",
        "swan",
        "tablelamp",
    )


def test_patterns_that_cover_both_sides(tmp_path):
    build("folder_by_name", tmp_path)
    data = open_tree("folder_by_name", tmp_path)
    assert all(p.stem.endswith("_sketch") for p in paths(data.listing[0]))
    assert not any(p.stem.endswith("_sketch") for p in paths(data.listing[1]))
    for settings_, message in (
        ({"sketch_files": "<class>/*"}, r"no image that is no sketch"),
        ({"sketch_files": "<class>/*_s.png"}, r"matches no image .*Found for example 3d/0\.png"),
        ({"sketch_files": "sketch/*"}, r"'sketch/\*': expected .*<class>"),
        ({"photo_files": "../<class>/*"}, r"relative to the data root"),
        ({"photo_files": str(tmp_path / "<class>/*")}, r"relative to the data root"),
    ):
        with pytest.raises(SketchClipError, match=message):
            open_tree("folder_by_name", tmp_path, **settings_).listing  # noqa: B018


# Incomplete archives


def test_incomplete_archive_trains_and_says_so(tmp_path):
    build("tuberlin_ready", tmp_path, ["airplane", "alarm clock", "bed", "bee", "table", "griffin"])
    shutil.rmtree(tmp_path / "ImageResized_ready" / "table")
    data = open_tree("tuberlin_ready", tmp_path)
    with pytest.warns(UserWarning, match="not comparable") as caught:
        assert len(data.train_sketches()) == 2
    messages = [str(w.message) for w in caught]
    assert sum("only sketches or only photos: table." in m for m in messages) == 1
    assert sum("does not name: griffin." in m for m in messages) == 1
    coverage = "4 of 220 seen, 0 of 30 unseen classes of tuberlin_sempcyc are here"
    assert sum(coverage in m and "not comparable" in m for m in messages) == 1
    assert len(messages) == 3
    assert data.protocol_name.endswith(f"not comparable: {coverage}")
    assert len(data.val_classes) == 2
    with pytest.raises(SketchClipError, match=r"0 of its 30 unseen .*--data\.split=random:2:0"):
        data.test_classes  # noqa: B018
    assert len(open_tree("tuberlin_ready", tmp_path, split="random:2:0").test_classes) == 2


def test_too_little_is_an_error(tmp_path):
    build("tuberlin_ready", tmp_path, ["airplane", "swan", "tablelamp"])
    data = open_tree("tuberlin_ready", tmp_path)
    assert data.test_classes == ["swan", "tablelamp"]  # a test needs no seen class
    with (
        pytest.warns(UserWarning, match="1 seen classes are too few"),
        pytest.raises(SketchClipError, match=r"leaves 1 classes .*1 of 220 seen.*:2:0"),
    ):
        data.train_photos()
    shutil.rmtree(tmp_path)
    build("tuberlin_ready", tmp_path, ["griffin", "unicorn", "wyvern", "yeti"])
    with pytest.raises(SketchClipError, match=r"names 250 of 250 classes.*--data.split=random:2:0"):
        open_tree("tuberlin_ready", tmp_path).split  # noqa: B018


def test_test_classes_for_validation_are_warned_about(tmp_path):
    data = open_tree("folder", build("folder", tmp_path), validation="test_classes")
    with pytest.warns(UserWarning, match="has seen the test classes"):
        assert data.val_classes == data.test_classes
    assert len(data.class_names) == 6
    assert open_tree("folder", tmp_path, validation="none").val_classes == []


def test_few_seen_classes_all_train_and_none_validates(tmp_path):
    data = open_tree("folder", build("folder", tmp_path), split="random:5:0")
    with pytest.warns(UserWarning, match="too few"):
        assert data.val_classes == []
    assert len(data.class_names) == 3


# Sketchy's photos


@pytest.mark.parametrize("name", [n for n, tree in LAYOUTS.items() if tree.extended])
def test_each_photo_is_in_the_gallery_once(tmp_path, name):
    build(name, tmp_path)
    dedup, twice = (
        paths(data.gallery_photos(data.test_classes))
        for data in (open_tree(name, tmp_path, gallery=g) for g in ("dedup", "zse_dup"))
    )
    keys = [(path.parent.name, path.stem) for path in dedup]
    assert len({*keys}) == len(keys) == 3 * 6
    assert len(twice) == 3 * (6 + 3)
    assert {*dedup} < {*twice}
    names = [(path.parent.name, path.name) for path in twice]
    assert names == sorted(names)
    # A base photo that the extended folder lacks joins.
    next((tmp_path / LAYOUTS[name].extended).glob("windmill/n*_1.jpg")).unlink()
    again = paths(open_tree(name, tmp_path).listing[1])
    assert {(p.parent.name, p.stem) for p in again} >= {*keys}
    # And the base photos can be had alone.
    basic = SketchyBasic(root=str(tmp_path))
    assert not any("ext_" in path.name for path in paths(basic.listing[1]))
    assert all(len(files) == 3 for files in basic.listing[1].values())


def test_doubling_photos_needs_both_folders(tmp_path):
    data = open_tree("sketchy", build("sketchy", tmp_path), gallery="zse_dup")
    with pytest.raises(SketchClipError, match=r"needs both folders.*--data\.gallery=dedup"):
        data.gallery_photos(data.test_classes)


FIGURES = {
    "sketchy_104_21": (12_694, 10_453, 2_100, 12_553),
    "sketchy_100_25": (15_229, 14_602, 2_500, 17_101),
}


@pytest.mark.parametrize("split", FIGURES)
def test_published_figures_of_sketchy(split):
    keys = (split, f"{split}, base photos alone", f"{split}, zse_dup")
    figures = [Sketchy.published[key] for key in keys]
    assert {f.unseen_sketches for f in figures} == {FIGURES[split][0]}
    assert tuple(f.unseen_photos for f in figures) == FIGURES[split][1:]


def test_published_figures_of_the_others():
    assert TUBerlin.published["tuberlin_sempcyc"].unseen_photos == 25_708
    assert TUBerlin.published["tuberlin_sake"].unseen_photos == 27_989
    assert QuickDraw.published["quickdraw_80_30"] == Published(92_291, 54_151)


def complete_sketchy(root: Path, monkeypatch: pytest.MonkeyPatch, **figures: int) -> Path:
    """All classes of Sketchy with one sketch and photo, and figures to match."""
    classes = [c for side in ("seen", "unseen") for c in class_list("sketchy_104_21", side)]
    build("sketchy", root, classes, sketches=1, photos=1)
    counts = {"unseen_sketches": 21, "unseen_photos": 21, "sketches": 125, **figures}
    key = "sketchy_104_21, base photos alone"
    monkeypatch.setattr(Sketchy, "published", {key: Published(**counts)})
    return root


def test_a_complete_archive_passes_in_silence(tmp_path, monkeypatch):
    data = Sketchy(root=str(complete_sketchy(tmp_path, monkeypatch)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.train_sketches()) == 104 - 10
        assert data.incomplete is None
    assert data.protocol_name == Sketchy.protocol.name


def test_a_complete_archive_with_other_figures_is_an_error(tmp_path, monkeypatch):
    data = Sketchy(root=str(complete_sketchy(tmp_path, monkeypatch, unseen_photos=22)))
    for use in (data.train_photos, lambda: data.gallery_photos(data.test_classes)):
        with pytest.raises(SketchClipError, match=r"photos of unseen .*expected 22, found 21"):
            use()
    own = tmp_path / "own.txt"
    own.write_text("\n".join(SKETCHY_UNSEEN))
    free = Sketchy(root=str(tmp_path), split=str(own))  # nothing is published for it
    assert len(free.gallery_photos(free.test_classes)) == 21


def test_missing_sketches_are_told(tmp_path, monkeypatch):
    data = Sketchy(root=str(complete_sketchy(tmp_path, monkeypatch, sketches=126)))
    with pytest.warns(UserWarning, match=r"125 of 126 sketches of sketchy_104_21 are here"):
        data.query_sketches(data.test_classes)
    assert "not comparable" in data.protocol_name


@pytest.mark.parametrize("benchmark", [Doodles, EmojiPairs])
def test_embedded_benchmarks_have_their_figures(benchmark):
    data = benchmark()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gallery = paths(data.gallery_photos(data.test_classes))
    expected = data.published[data.split.name]
    assert len(gallery) == expected.unseen_photos
    assert sum(map(len, data.listing[1].values())) == expected.photos
    assert data.incomplete is None
    assert not {*gallery} & {*paths(data.train_photos())}
    if benchmark is EmojiPairs:
        name = data.class_names[0]
        pairs = [
            [data.instance_of(p, side) for p in files]
            for side, files in zip(
                ("sketch", "photo"), (x[name] for x in data.listing), strict=True
            )
        ]
        assert pairs[0] == pairs[1]


# Generalised zero-shot and scarce data


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SketchPhotoFolder]:
    """Twelve classes with ten sketches and ten photos each; read only."""
    root = build("folder", tmp_path_factory.mktemp("many"), list("abcdefghijkl"), 10, 10)
    # In half of the classes names tell nothing of pairs.
    for folder in "abcdef":
        for photo in (root / "photo" / folder).iterdir():
            photo.rename(photo.with_name(f"image_{photo.name}"))
    return lambda **settings: SketchPhotoFolder(root=str(root), split="random:3:0", **settings)


def test_generalised_gallery(many):
    data, plain = many(generalized=0.2, subset_seed=3), many()
    assert data.test_classes == [*data.split.unseen, *data.split.seen]
    gallery = data.gallery_photos(data.test_classes)
    queries = data.query_sketches(data.test_classes)
    assert {c for c, files in queries.items() if files} == {*data.split.unseen}
    assert {*queries} == {*gallery} == {*data.test_classes}
    assert all(len(gallery[c]) == 10 for c in data.split.unseen)
    assert all(len(gallery[c]) == 2 for c in data.split.seen)
    training = data.train_photos()
    assert {len(files) for files in training.values()} == {8}
    assert not {*paths(gallery)} & {*paths(training)}
    assert data.val_classes == plain.val_classes
    assert data.gallery_photos(data.val_classes) == plain.gallery_photos(plain.val_classes)
    assert paths(data.query_sketches(data.val_classes))
    assert many(generalized=0.2, subset_seed=4).gallery_photos(data.test_classes) != gallery
    assert "generalised: gallery with 0.2 of the photos of each seen class (seed 3)" in (
        data.protocol_name
    )
    # Scarcity changes neither the gallery nor which photos are kept from training.
    scarce = many(generalized=0.2, subset_seed=3, train_fraction=0.3, seen_classes=3)
    assert scarce.gallery_photos(scarce.test_classes) == gallery
    assert {*paths(scarce.train_photos())} < {*paths(training)}


def test_generalised_gallery_of_doodles_is_drawn_by_its_own_designers():
    data = Doodles(generalized=0.5)
    gallery = data.gallery_photos(data.test_classes)
    assert {len(files) for c, files in gallery.items() if c in data.split.seen} == {1}
    assert {p.stem for p in paths(gallery)} == {"noto", "openmoji"}
    assert {len(files) for files in data.train_photos().values()} == {3}


def test_a_class_keeps_a_photo_for_training(tmp_path):
    data = open_tree("folder", build("folder", tmp_path, photos=1), generalized=0.9)
    assert {len(files) for files in data.train_photos().values()} == {1}
    assert not any(data.gallery_photos(data.test_classes)[c] for c in data.split.seen)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_smaller_fractions_are_parts_of_larger_ones(many, first, second, seed):
    small, large = (many(train_fraction=f, subset_seed=seed) for f in sorted((first, second)))
    for few, more in ((small.train_sketches(), large.train_sketches()),):
        assert all({*few[c]} <= {*more[c]} for c in few)
    few, more = small.train_photos(), large.train_photos()
    for name in few:
        assert {*few[name]} <= {*more[name]}
        assert len(few[name]) == part(min(first, second), 10) >= 1
        assert few[name] == sorted(few[name])
        if name not in "abcdef":  # whole pairs
            drawn = {small.instance_of(p, "sketch") for p in small.train_sketches()[name]}
            assert drawn == {small.instance_of(p, "photo") for p in few[name]}
        else:
            assert len(small.train_sketches()[name]) == part(min(first, second), 10)
    whole = many()
    assert small.val_classes == whole.val_classes
    for classes in (whole.val_classes, whole.test_classes):
        assert small.gallery_photos(classes) == whole.gallery_photos(classes)
        assert small.query_sketches(classes) == whole.query_sketches(classes)


def test_another_seed_chooses_other_samples(many):
    chosen = [many(train_fraction=0.3, subset_seed=s).train_photos() for s in (0, 1)]
    assert chosen[0] != chosen[1]
    assert many(train_fraction=0.3).train_photos() == chosen[0]


def test_fewer_seen_classes_are_parts_of_more(many):
    names = [many(seen_classes=n).class_names for n in range(2, 8)]
    assert [len(n) for n in names] == list(range(2, 8))
    assert all({*a} < {*b} for a, b in itertools.pairwise(names))
    assert names[-1] == many().class_names
    assert many(seen_classes=3, subset_seed=1).class_names != names[1]
    assert many(seen_classes=2).test_classes == many().test_classes
    assert {*many(seen_classes=4).train_photos()} == {*names[2]}
    # Without validation classes more are there, of which the same are chosen first.
    more = many(seen_classes=5, validation="none").class_names
    held_out = {*many().val_classes}
    assert {*more} - held_out <= {*names[3]}


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"train_fraction": 0.0}, "train_fraction=0.0: expected .*above 0"),
        ({"train_fraction": 1.5}, "train_fraction=1.5"),
        ({"seen_classes": 1}, "seen_classes=1: expected 2 to 7"),
        ({"seen_classes": 9}, "seen_classes=9: expected 2 to 7.*9 seen .*2 are set aside"),
        ({"generalized": 1.0}, "generalized=1.0: expected .*below 1"),
        ({"generalized": -0.1}, "generalized=-0.1"),
        ({"val_fraction": 0.0}, "val_fraction=0.0"),
    ],
)
def test_bad_values(many, settings_, message):
    data = many(**settings_)
    with pytest.raises(SketchClipError, match=message):
        data.train_photos(), data.gallery_photos(data.test_classes)


@given(st.lists(st.text(max_size=6), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_draw_is_nested_and_keeps_the_order(names, a, b):
    items = list(range(len(names)))
    small, large = (draw(items, names, n, 7) for n in sorted((a, b)))
    assert {*small} <= {*large}
    assert small == sorted(small)
    assert len(large) == min(max(a, b), len(names))


# Pairs


@pytest.mark.parametrize(
    ("sketch", "photo"),
    [
        ("n02691156_58-3.png", "n02691156_58.jpg"),
        ("1F468-200D-2695-FE0F-1.png", "1F468-200D-2695-FE0F.jpg"),
        ("a.b-12.PNG", "a.b.webp"),
        ("7.png", "7.jpg"),
    ],
)
def test_a_sketch_knows_its_photo(sketch, photo):
    data = SketchPhotoFolder()
    assert data.instance_of(Path(sketch), "sketch") == data.instance_of(Path(photo), "photo")


def test_a_dataset_may_pair_in_its_own_way():
    shoes = type("Shoes", (SketchPhotoFolder,), {"instance_pattern": r"(.+)_\d+"})()
    assert shoes.instance_of(Path("1234_2.png"), "sketch") == "1234"
    assert shoes.instance_of(Path("1234_2.png"), "photo") == "1234_2"


@pytest.mark.parametrize("name", ["sketchy", "sketchy_extended", "sketchy_sempcyc_extended"])
def test_every_sketch_of_sketchy_has_its_photo(tmp_path, name):
    data = open_tree(name, build(name, tmp_path, sketches=4))
    for sketches, photos in zip(*(x.values() for x in data.listing), strict=True):
        known = {data.instance_of(p, "photo") for p in photos}
        assert {data.instance_of(p, "sketch") for p in sketches} <= known
        assert len({data.instance_of(p, "sketch") for p in sketches}) == 3


def test_datasets_are_attributes_alone():
    """The constructor is the base's, so every dataset has the same options."""
    for dataset in (Sketchy, SketchyBasic, TUBerlin, QuickDraw, SketchPhotoFolder):
        assert "__init__" not in vars(dataset)
        assert dataset.layouts
        assert inspect.getdoc(dataset)
