"""Which files training, queries and galleries get: figures, galleries, parts and pairs."""

import inspect
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules import Doodles, EmojiPairs, QuickDraw, SketchPhotoFolder, Sketchy, TUBerlin
from data_modules.sketchy import SketchyBasic
from data_modules.splits.published import Published
from data_modules.splits.subsets import draw, part
from sketchclip.errors import SketchClipError
from tests.helpers.trees import LAYOUTS, build, class_list, open_tree, paths

# Most trees here are partial on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*(not comparable|does not name|left out)")


# Sketchy's photos


@pytest.mark.parametrize("name", [n for n, tree in LAYOUTS.items() if tree.extended])
def test_each_photo_is_in_the_gallery_once(tmp_path, name):
    build(name, tmp_path)
    dedup, twice = (
        paths(data.catalogue.gallery(data.catalogue.test_classes))
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
    again = paths(open_tree(name, tmp_path).catalogue.files.listing[1])
    assert {(p.parent.name, p.stem) for p in again} >= {*keys}
    # And the base photos can be had alone.
    basic = SketchyBasic(root=str(tmp_path))
    assert not any("ext_" in path.name for path in paths(basic.catalogue.files.listing[1]))
    assert all(len(files) == 3 for files in basic.catalogue.files.listing[1].values())


def test_random_pairs_are_one_photo_of_its_class_for_each_sketch(tmp_path):
    build("folder", tmp_path, sketches=12, photos=4)

    def gallery(**options: object) -> dict[str, list[Path]]:
        data = open_tree("folder", tmp_path, gallery="random_pairs", **options)
        return {c: [*p] for c, p in data.catalogue.gallery(data.catalogue.test_classes).items()}

    whole = open_tree("folder", tmp_path)
    photos = whole.catalogue.gallery(whole.catalogue.test_classes)
    found = gallery(seed=3)
    assert found.keys() == {*whole.catalogue.split.unseen}
    for name, drawn in found.items():
        assert len(drawn) == len(whole.catalogue.queries(whole.catalogue.test_classes)[name]) == 12
        assert {*drawn} <= {*photos[name]}
        assert len({*drawn}) > 1
    positions = [[photos[name].index(p) for p in drawn] for name, drawn in found.items()]
    assert positions[0] != positions[1]  # each class has draws of its own
    assert gallery(seed=3) == found
    assert gallery(seed=4) != found
    assert gallery(seed=3, train_fraction=0.5) == found  # of the seed alone
    joined = gallery(seed=3, generalized=0.5)
    assert {c: p for c, p in joined.items() if p} == found


def test_random_pairs_are_evaluated_as_they_are_and_named(tmp_path):
    build("folder", tmp_path, sketches=5, photos=2)
    data = open_tree("folder", tmp_path, gallery="random_pairs", seed=7, validation="pseudo_unseen")
    assert "one random photo of its class for each sketch" in data.catalogue.protocol_name
    assert "random_pairs" in data.catalogue.protocol_name
    assert "seed 7" in data.catalogue.protocol_name
    for loaders, classes in (
        (data.test_dataloader(), data.catalogue.test_classes),
        (data.val_dataloader(), data.catalogue.val_classes),
    ):
        queries, gallery = (loader.dataset for loader in loaders)
        assert len(queries) == len(gallery) == 5 * len(classes) > 0
        expected = [path for paths in data.catalogue.gallery(classes).values() for path in paths]
        assert [path for path, _ in gallery.items] == expected
    assert "random" not in open_tree("folder", tmp_path).catalogue.protocol_name


def test_doubling_photos_needs_both_folders(tmp_path):
    data = open_tree("sketchy", build("sketchy", tmp_path), gallery="zse_dup")
    with pytest.raises(SketchClipError, match=r"needs both folders.*--data\.gallery=dedup"):
        data.catalogue.gallery(data.catalogue.test_classes)


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
        assert len(data.catalogue.training[0]) == 104 - 10
        assert data.catalogue.incomplete is None
    assert data.catalogue.protocol_name == Sketchy.protocol.name


def test_a_complete_archive_with_other_figures_is_an_error(tmp_path, monkeypatch):
    data = Sketchy(root=str(complete_sketchy(tmp_path, monkeypatch, unseen_photos=22)))
    for use in (
        lambda: data.catalogue.training,
        lambda: data.catalogue.gallery(data.catalogue.test_classes),
    ):
        with pytest.raises(SketchClipError, match=r"photos of unseen .*expected 22, found 21"):
            use()
    own = tmp_path / "own.txt"
    own.write_text("\n".join(class_list("sketchy_104_21", "unseen")))
    free = Sketchy(root=str(tmp_path), split=str(own))  # nothing is published for it
    assert len(free.catalogue.gallery(free.catalogue.test_classes)) == 21


def test_missing_sketches_are_told(tmp_path, monkeypatch):
    data = Sketchy(root=str(complete_sketchy(tmp_path, monkeypatch, sketches=126)))
    with pytest.warns(UserWarning, match=r"125 of 126 sketches of sketchy_104_21 are here"):
        data.catalogue.queries(data.catalogue.test_classes)
    assert "not comparable" in data.catalogue.protocol_name


@pytest.mark.parametrize("benchmark", [Doodles, EmojiPairs])
def test_embedded_benchmarks_have_their_figures(benchmark):
    data = benchmark()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gallery = paths(data.catalogue.gallery(data.catalogue.test_classes))
    expected = data.published[data.catalogue.split.name]
    assert len(gallery) == expected.unseen_photos
    assert sum(map(len, data.catalogue.files.listing[1].values())) == expected.photos
    assert data.catalogue.incomplete is None
    assert not {*gallery} & {*paths(data.catalogue.training[1])}
    if benchmark is EmojiPairs:
        name = data.class_names[0]
        pairs = [
            [data.instance_of(p, side) for p in files]
            for side, files in zip(
                ("sketch", "photo"), (x[name] for x in data.catalogue.files.listing), strict=True
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
    assert data.catalogue.test_classes == [*data.catalogue.split.unseen, *data.catalogue.split.seen]
    gallery = data.catalogue.gallery(data.catalogue.test_classes)
    queries = data.catalogue.queries(data.catalogue.test_classes)
    assert {c for c, files in queries.items() if files} == {*data.catalogue.split.unseen}
    assert {*queries} == {*gallery} == {*data.catalogue.test_classes}
    assert all(len(gallery[c]) == 10 for c in data.catalogue.split.unseen)
    assert all(len(gallery[c]) == 2 for c in data.catalogue.split.seen)
    training = data.catalogue.training[1]
    assert {len(files) for files in training.values()} == {8}
    assert not {*paths(gallery)} & {*paths(training)}
    assert data.catalogue.val_classes == plain.catalogue.val_classes
    assert data.catalogue.gallery(data.catalogue.val_classes) == plain.catalogue.gallery(
        plain.catalogue.val_classes
    )
    assert paths(data.catalogue.queries(data.catalogue.val_classes))
    assert (
        many(generalized=0.2, subset_seed=4).catalogue.gallery(data.catalogue.test_classes)
        != gallery
    )
    assert "generalised: gallery with 0.2 of the photos of each seen class (seed 3)" in (
        data.catalogue.protocol_name
    )
    # Scarcity changes neither the gallery nor which photos are kept from training.
    scarce = many(generalized=0.2, subset_seed=3, train_fraction=0.3, seen_classes=3)
    assert scarce.catalogue.gallery(scarce.catalogue.test_classes) == gallery
    assert {*paths(scarce.catalogue.training[1])} < {*paths(training)}


def test_generalised_gallery_of_doodles_is_drawn_by_its_own_designers():
    data = Doodles(generalized=0.5)
    gallery = data.catalogue.gallery(data.catalogue.test_classes)
    assert {len(files) for c, files in gallery.items() if c in data.catalogue.split.seen} == {1}
    assert {p.stem for p in paths(gallery)} == {"noto", "openmoji"}
    assert {len(files) for files in data.catalogue.training[1].values()} == {3}


def test_a_class_keeps_a_photo_for_training(tmp_path):
    data = open_tree("folder", build("folder", tmp_path, photos=1), generalized=0.9)
    assert {len(files) for files in data.catalogue.training[1].values()} == {1}
    assert not any(
        data.catalogue.gallery(data.catalogue.test_classes)[c] for c in data.catalogue.split.seen
    )


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5))
def test_smaller_fractions_are_parts_of_larger_ones(many, first, second, seed):
    small, large = (many(train_fraction=f, subset_seed=seed) for f in sorted((first, second)))
    for few, more in ((small.catalogue.training[0], large.catalogue.training[0]),):
        assert all({*few[c]} <= {*more[c]} for c in few)
    few, more = small.catalogue.training[1], large.catalogue.training[1]
    for name in few:
        assert {*few[name]} <= {*more[name]}
        assert len(few[name]) == part(min(first, second), 10) >= 1
        assert few[name] == sorted(few[name])
        if name not in "abcdef":  # whole pairs
            drawn = {small.instance_of(p, "sketch") for p in small.catalogue.training[0][name]}
            assert drawn == {small.instance_of(p, "photo") for p in few[name]}
        else:
            assert len(small.catalogue.training[0][name]) == part(min(first, second), 10)
    whole = many()
    assert small.catalogue.val_classes == whole.catalogue.val_classes
    for classes in (whole.catalogue.val_classes, whole.catalogue.test_classes):
        assert small.catalogue.gallery(classes) == whole.catalogue.gallery(classes)
        assert small.catalogue.queries(classes) == whole.catalogue.queries(classes)


def test_another_seed_chooses_other_samples(many):
    chosen = [many(train_fraction=0.3, subset_seed=s).catalogue.training[1] for s in (0, 1)]
    assert chosen[0] != chosen[1]
    assert many(train_fraction=0.3).catalogue.training[1] == chosen[0]
    assert many(train_fraction=0.3, subset_seed=None, seed=1).catalogue.training[1] == chosen[1]


def test_fewer_seen_classes_are_parts_of_more(many):
    names = [many(seen_classes=n).class_names for n in range(2, 8)]
    assert [len(n) for n in names] == list(range(2, 8))
    assert all({*a} < {*b} for a, b in itertools.pairwise(names))
    assert names[-1] == many().class_names
    assert many(seen_classes=3, subset_seed=1).class_names != names[1]
    assert many(seen_classes=2).catalogue.test_classes == many().catalogue.test_classes
    assert {*many(seen_classes=4).catalogue.training[1]} == {*names[2]}
    # Without validation classes more are there, of which the same are chosen first.
    more = many(seen_classes=5, validation="none").class_names
    held_out = {*many().catalogue.val_classes}
    assert {*more} - held_out <= {*names[3]}


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"train_fraction": 0.0}, r"train_fraction .*: expected more than 0 .*found 0\.0"),
        ({"train_fraction": 1.5}, r"train_fraction .*at most 1, found 1\.5"),
        ({"seen_classes": 1}, "seen_classes=1: expected 2 to 7"),
        ({"seen_classes": 9}, "seen_classes=9: expected 2 to 7.*9 seen .*2 are set aside"),
        ({"generalized": 1.0}, r"generalized .*: expected .*below 1, found 1\.0"),
        ({"generalized": -0.1}, r"generalized .*found -0\.1"),
        ({"val_fraction": 0.0}, r"val_fraction .*found 0\.0"),
    ],
)
def test_bad_values(many, settings_, message):
    def use():
        files = many(**settings_).catalogue
        return files.training[1], files.gallery(files.test_classes)

    with pytest.raises(SketchClipError, match=message):
        use()


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
    for sketches, photos in zip(*(x.values() for x in data.catalogue.files.listing), strict=True):
        known = {data.instance_of(p, "photo") for p in photos}
        assert {data.instance_of(p, "sketch") for p in sketches} <= known
        assert len({data.instance_of(p, "sketch") for p in sketches}) == 3


def test_datasets_are_attributes_alone():
    """The constructor is the base's, so every dataset has the same options."""
    for dataset in (Sketchy, SketchyBasic, TUBerlin, QuickDraw, SketchPhotoFolder):
        assert "__init__" not in vars(dataset)
        assert dataset.layouts
        assert inspect.getdoc(dataset)
