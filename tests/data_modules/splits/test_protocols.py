"""Classes that the model under test decides, and queries of seen classes in generalised tests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules import Doodles, EmojiPairs, SketchPhotoFolder
from data_modules.splits.split import UNSEEN_BY_MODEL, split_by_model
from sketchclip.errors import SketchClipError
from tests.helpers.trees import build, paths

NAMES = list("abcdefghij")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten classes with ten sketches and photos each, in half of them not paired; read only."""
    root = build("folder", tmp_path_factory.mktemp("many"), NAMES, 10, 10)
    for folder in "abcde":
        for photo in (root / "photo" / folder).iterdir():
            photo.rename(photo.with_name(f"image_{photo.name}"))

    def make(split="random:3:0", **options):
        return SketchPhotoFolder(root=str(root), split=split, num_workers=0, **options)

    return make


# unseen_by_model


@given(st.lists(st.sampled_from([*NAMES, "other", "J"])))
def test_every_class_is_tested_or_removed(trained):
    split = split_by_model(NAMES, trained)
    assert sorted([*split.unseen, *split.removed]) == NAMES
    assert {*split.removed} == {*NAMES} & {name.lower() for name in trained}
    assert (split.seen, split.name, split.complete) == ((), UNSEEN_BY_MODEL, True)


def test_the_model_decides_the_test_classes(many):
    data = many(UNSEEN_BY_MODEL)
    with pytest.raises(SketchClipError, match=r"known when a model tests.*sketchclip test"):
        data.catalogue.test_classes  # noqa: B018
    assert (data.class_names, data.catalogue.val_classes) == ([], [])
    files = data.catalogue.tested_by(["A", "b", "somewhere else"])
    assert files.test_classes == NAMES[2:]
    assert {c: len(p) for c, p in files.queries(files.test_classes).items()} == dict.fromkeys(
        NAMES[2:], 10
    )
    assert {c: len(p) for c, p in files.gallery(files.test_classes).items()} == dict.fromkeys(
        NAMES[2:], 10
    )
    assert data.catalogue.tested_by([]).test_classes == NAMES
    with pytest.raises(SketchClipError, match=r"trained on 9 of the 10 classes.*1 is left"):
        data.catalogue.tested_by(NAMES[:9]).test_classes  # noqa: B018


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_nothing_trains_on_what_a_model_leaves_over(many, stage):
    with pytest.raises(SketchClipError, match=r"is for 'sketchclip test'.*Train on a split"):
        many(UNSEEN_BY_MODEL).setup(stage)


# generalized_queries


@settings(deadline=None, max_examples=25)
@given(
    st.floats(0.01, 0.99),
    st.integers(0, 5),
    st.sampled_from([0.3, 1.0]),
    st.sampled_from([None, 2, 4]),
)
def test_queries_of_seen_classes_leave_training(many, fraction, seed, train_fraction, seen):
    chosen = {"subset_seed": seed, "train_fraction": train_fraction, "seen_classes": seen}
    data = many(generalized=fraction, generalized_queries="both", **chosen)
    files, names = data.catalogue, {*data.class_names}
    queries, gallery = files.queries(files.test_classes), files.gallery(files.test_classes)
    training = files.training
    assert not {*paths(queries)} & {*paths(training[0])}
    assert not {*paths(gallery)} & {*paths(training[1])}
    assert all(len(files_) == 10 for name, files_ in queries.items() if name in files.split.unseen)
    assert files.seen_labels == [
        files.test_classes.index(n) for n in files.test_classes if n in names
    ]
    count = min(max(1, round(10 * fraction)), 9)
    for name in files.split.seen:
        assert len(queries[name]) == (count if name in names else 0)
        assert len(gallery[name]) == count
        if name in names:
            assert training[0][name]
            if name not in "abcde":  # pairs
                asked = {data.instance_of(path, "sketch") for path in queries[name]}
                assert asked == {data.instance_of(path, "photo") for path in gallery[name]}
    # Unseen queries, the gallery and validation are those of the test without seen queries.
    plain = many(generalized=fraction, **chosen).catalogue
    assert plain.gallery(plain.test_classes) == gallery
    assert {c: q for c, q in queries.items() if c in files.split.unseen} == {
        c: q for c, q in plain.queries(plain.test_classes).items() if q
    }
    assert plain.queries(plain.val_classes) == files.queries(files.val_classes)
    assert plain.seen_labels == []
    # Smaller parts are inside larger ones, so that a model is right for them, too.
    more = many(generalized=min(0.99, 2 * fraction), generalized_queries="both", **chosen).catalogue
    assert {*paths(queries)} <= {*paths(more.queries(more.test_classes))}


def test_queries_of_the_bundled_benchmarks():
    doodles = Doodles(generalized=0.5, generalized_queries="both").catalogue
    queries = doodles.queries(doodles.test_classes)
    assert {len(queries[name]) for name in doodles.class_names} == {10}
    assert {len(files) for files in doodles.training[0].values()} == {10}
    assert not any(queries[name] for name in doodles.val_classes)
    pairs = EmojiPairs(generalized=0.2, generalized_queries="both").catalogue
    queries, gallery = pairs.queries(pairs.test_classes), pairs.gallery(pairs.test_classes)
    for name in pairs.class_names:
        assert [p.stem for p in gallery[name]] == sorted(
            pairs.dataset.instance_of(path, "sketch") for path in queries[name]
        )


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"generalized_queries": "both"}, "none is in the gallery.*--data.generalized=0.2"),
        (
            {"generalized_queries": "both", "generalized": 0.2, "gallery": "random_pairs"},
            "random_pairs holds no photo of seen classes.*--data.gallery=dedup",
        ),
        (
            {"split": UNSEEN_BY_MODEL, "generalized": 0.2},
            "unseen_by_model has none. Use --data.generalized=0",
        ),
    ],
)
def test_what_does_not_go_together(many, chosen, message):
    files = many(**chosen).catalogue
    if not chosen.get("split"):
        with pytest.raises(SketchClipError, match=message):
            files.training  # noqa: B018
    with pytest.raises(SketchClipError, match=message):
        files.tested_by(["a"]).test_classes  # noqa: B018


def test_a_class_of_one_photo_or_sketch_gives_no_query(tmp_path):
    for photos, sketches in ((1, 3), (3, 1)):
        folder = tmp_path / f"{photos}"
        build("folder", folder, NAMES[:6], sketches=sketches, photos=photos)
        data = SketchPhotoFolder(
            root=str(folder), split="random:2:0", generalized=0.5, generalized_queries="both"
        )
        queries = data.catalogue.queries(data.catalogue.test_classes)
        assert not any(queries[name] for name in data.class_names)
        assert all(len(s) == sketches for s in data.catalogue.training[0].values())
