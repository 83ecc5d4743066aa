"""The vector engine against NumPy, and what it says when it cannot work."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.locks import locked
from sketchclip.errors import SketchClipError
from sketchclip.search import engine as engines
from sketchclip.search.columns import COLUMNS
from sketchclip.search.engine import VectorEngine

WIDTH = 8


def row(photo: str, class_name: str | None = "cat") -> dict:
    values = (photo, f"/photos/{photo}.jpg", class_name, 10, 20, f"digest-{photo}")
    return dict(zip(COLUMNS, values, strict=True))


def unit(count: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def engine(tmp_path):
    made = VectorEngine(str(tmp_path / "index"))
    made.create(WIDTH, {"made": "by a test"})
    return made


def nearest(vectors: dict[str, np.ndarray], query: np.ndarray, k: int) -> list[tuple[str, float]]:
    scores = sorted(((float(v @ query), photo) for photo, v in vectors.items()), reverse=True)
    return [(photo, score) for score, photo in scores[:k]]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "delete"]),
        st.lists(st.integers(0, 15), min_size=1, max_size=6, unique=True),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=4, deadline=None)
@given(changes=CHANGES, k=st.integers(1, 20), optimise=st.booleans())
def test_it_holds_what_a_dictionary_would(tmp_path_factory, changes, k, optimise):
    engine = VectorEngine(str(tmp_path_factory.mktemp("index")))
    engine.create(WIDTH, {"made": "by a test"})
    expected: dict[str, np.ndarray] = {}
    for kind, numbers, seed in changes:
        photos = [f"p{number}" for number in numbers]
        if kind == "upsert":
            vectors = unit(len(photos), seed)
            engine.upsert([row(photo) for photo in photos], vectors)
            expected |= dict(zip(photos, vectors, strict=True))
        else:
            engine.delete(photos)
            expected = {p: v for p, v in expected.items() if p not in photos}
    if optimise:
        engine.optimise(alone=True)
    reopened = VectorEngine(engine.place)
    assert len(reopened) == len(expected)
    assert sorted(reopened.scan("photo")["photo"]) == sorted(expected)
    for stored in reopened.get([*expected, "missing"], vectors=True):
        np.testing.assert_array_equal(stored["vector"], expected[stored["photo"]])
    query = unit(1, 1000)[0]
    found = [(r["photo"], r["score"]) for r in reopened.search(query, k)]
    wanted = nearest(expected, query, k)
    assert [photo for photo, _ in found] == [photo for photo, _ in wanted]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in wanted], atol=1e-6)


def test_a_class_is_searched_alone(engine):
    vectors = unit(60)
    names = ["it's", "a;b--", None]
    engine.upsert([row(f"p{i}", names[i % 3]) for i in range(60)], vectors)
    assert engine.classes() == sorted(names[:2])
    query = unit(1, 5)[0]
    for number, name in enumerate(names[:2]):
        own = {f"p{i}": vectors[i] for i in range(number, 60, 3)}
        found = [r["photo"] for r in engine.search(query, 7, name)]
        assert found == [photo for photo, _ in nearest(own, query, 7)]
    assert engine.search(query, 7, "x' OR 'a' = 'a") == []


def test_approximate_search_finds_nearly_all_and_new_photos_too(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "APPROXIMATE_FROM", 1000)
    engine = VectorEngine(str(tmp_path / "index"))
    engine.create(64, {"made": "by a test"})
    vectors = unit(2000, width=64)
    engine.upsert([row(f"p{i}", f"c{i % 200}") for i in range(2000)], vectors)
    engine.optimise(alone=True)
    assert {i.columns[0] for i in engine._table("photos").list_indices()} == {
        *("photo", "class_name", "vector")
    }
    known = {f"p{i}": v for i, v in enumerate(vectors)}
    queries = unit(20, 7, 64)
    hits = 0
    for query in queries:
        found = engine.search(query, 10)
        hits += len({r["photo"] for r in found} & {p for p, _ in nearest(known, query, 10)})
        for r in found:  # scores are exact even so
            assert r["score"] == pytest.approx(float(known[r["photo"]] @ query), abs=1e-6)
    assert hits / 200 >= 0.9
    rare = {p: v for i, (p, v) in enumerate(known.items()) if i % 200 == 3}
    assert [r["photo"] for r in engine.search(queries[0], 10, "c3")] == [
        photo for photo, _ in nearest(rare, queries[0], 10)
    ]
    engine.upsert([row("new")], queries[:1])
    assert engine.search(queries[0], 1)[0]["photo"] == "new"
    engine.upsert([row("p5", "c5")], queries[1:2])  # moved
    engine.delete(["p6"])
    assert engine.search(queries[1], 1)[0]["photo"] == "p5"
    assert "p6" not in {r["photo"] for r in engine.search(vectors[6], 50)}
    assert len(engine) == 2000


@pytest.mark.parametrize("width", [WIDTH, 5])
def test_states_are_kept_beside_vectors(tmp_path, width):
    engine = VectorEngine(str(tmp_path / "index"))
    engine.create(WIDTH, {"made": "by a test"}, width)
    vectors, states = unit(6), unit(6, 1, width)
    rows = [row(f"p{i}", f"c{i % 2}") for i in range(6)]
    engine.upsert(rows, vectors, states)
    engine.upsert(rows[:1], vectors[:1], states[5:])  # changed
    known = {f"p{i}": state for i, state in enumerate(states)} | {"p0": states[5]}
    reopened = VectorEngine(engine.place)
    assert (reopened.width, reopened.state_width, reopened.count("c1")) == (WIDTH, width, 3)
    chosen = {"all": {}, "class": {"class_name": "c1"}, "some": {"photos": ["p0", "p3", "p9"]}}
    for name, which in chosen.items():
        found, kept = reopened.states(**which)
        names = [stored["photo"] for stored in found]
        expected = {"all": {*known}, "class": {"p1", "p3", "p5"}, "some": {"p0", "p3"}}[name]
        assert sorted(names) == sorted(expected)
        np.testing.assert_array_equal(kept, [known[photo] for photo in names])
    assert reopened.states("c9")[1].shape == (0, width)
    assert engine.search(vectors[2], 1)[0]["photo"] == "p2"
    (stored,) = reopened.get(["p4"], vectors=True)
    np.testing.assert_array_equal(stored["state"], states[4])


def test_about_is_replaced_as_a_whole(engine):
    assert VectorEngine(engine.place).about == {"made": "by a test"}
    engine.about = {"roots": ["/a'b"], "n": 1}
    assert VectorEngine(engine.place).about == {"roots": ["/a'b"], "n": 1}


def test_a_reader_sees_what_a_writer_adds(engine, monkeypatch):
    monkeypatch.setattr(engines, "_REFRESH", engines.timedelta(0))
    reader = VectorEngine(engine.place)
    assert len(reader) == 0
    engine.upsert([row("a")], unit(1))
    assert len(reader) == 1


def test_a_second_writer_is_refused(engine, tmp_path):
    with (
        locked(tmp_path / "index" / "lock", "a test"),
        pytest.raises(SketchClipError, match=rf"writing into the index .*{os.getpid()}"),
        engine.lock(),
    ):
        pass
    with engine.lock():
        pass


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(SketchClipError, match=r"is no index: it holds cat\.jpg"):
        VectorEngine(str(tmp_path))
    with pytest.raises(SketchClipError, match="is a file"):
        VectorEngine(str(tmp_path / "cat.jpg"))
    assert [path.name for path in tmp_path.iterdir()] == ["cat.jpg"]


def test_what_is_damaged_is_told(engine, tmp_path):
    engine.upsert([row("a")], unit(1))
    for file in (tmp_path / "index" / "photos.lance" / "data").iterdir():
        file.write_bytes(b"junk")
    with pytest.raises(SketchClipError, match=r"Cannot search the index .*make the index again"):
        VectorEngine(engine.place).search(unit(1)[0], 3)
    with pytest.raises(SketchClipError, match="Cannot list the index nowhere://x"):
        VectorEngine("nowhere://x").exists()
    assert not VectorEngine(str(tmp_path / "typo")).exists()
    assert not (tmp_path / "typo").exists()
