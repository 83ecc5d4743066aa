"""Indexes of folders of photos: made, brought up to date, killed and gone on with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.locks import locked
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.model import SearchModel, load_model
from sketchclip.search.index import PhotoIndex
from sketchclip.search.photos import find_photos
from sketchclip.search.update import index_photos
from tests.helpers.paths import REPOSITORY


@pytest.fixture(scope="module")
def model(tiny_weights):
    return load_model("frozen", "tiny", str(tiny_weights), "cpu")


@pytest.fixture
def photos(tree, tmp_path):
    """Eight classes of four photos that a test may change."""
    return Path(shutil.copytree(tree / "photo", tmp_path / "photos"))


@pytest.fixture
def index(model, photos, tmp_path):
    """``index(folder, ...)`` indexes quietly; returns the summary."""

    def call(*folders, **settings):
        chosen = folders or [photos]
        return index_photos(chosen, model, str(tmp_path / "index"), progress=False, **settings)

    return call


def opened(tmp_path) -> PhotoIndex:
    return PhotoIndex.open(str(tmp_path / "index"))


def held(tmp_path) -> dict[str, np.ndarray]:
    """Vectors by path; fails if a path is there twice."""
    rows = opened(tmp_path).engine.scan("path", "vector")
    assert len({*rows["path"]}) == len(rows["path"])
    return dict(zip(rows["path"], map(np.array, rows["vector"]), strict=True))


def counts(summary) -> tuple[int, ...]:
    names = ("photos", "added", "changed", "removed", "kept", "embedded")
    return tuple(getattr(summary, name) for name in names)


def test_vectors_are_those_of_the_model(index, model, photos, tmp_path):
    assert counts(index()) == (32, 32, 0, 0, 0, 32)
    files = sorted(photos.rglob("*.png"))
    found = held(tmp_path)
    assert sorted(found) == [str(path) for path in files]
    expected = model.photos(files)
    for path, vector in zip(files, expected, strict=True):
        np.testing.assert_allclose(found[str(path)], vector, atol=1e-6)
    about = opened(tmp_path).about
    assert about["model_hash"] == model.model_hash
    assert about["model"]["preprocessing"]["size"] == 32
    assert (about["roots"], about["complete"]) == ([str(photos)], True)
    assert opened(tmp_path).classes == sorted(path.name for path in photos.iterdir())


def test_an_update_changes_only_what_changed(index, photos, tmp_path, monkeypatch):
    index()
    before = held(tmp_path)
    files = sorted(photos.rglob("*.png"))
    files[0].unlink()
    files[1].write_bytes(files[9].read_bytes())
    files[2].touch()
    renamed = files[3].rename(photos / "renamed.png")
    Image.new("RGB", (40, 40), "purple").save(photos / "new.png")
    looked = []
    real = SearchModel.indexed
    monkeypatch.setattr(SearchModel, "indexed", lambda *a: looked.append(1) or real(*a))
    assert counts(index()) == (32, 2, 1, 2, 29, 1)
    assert len(looked) == 1  # the new one; the others' content was known
    after = held(tmp_path)
    assert {*before} - {*after} == {str(files[0]), str(files[3])}
    assert {*after} - {*before} == {str(renamed), str(photos / "new.png")}
    np.testing.assert_array_equal(after[str(renamed)], before[str(files[3])])
    np.testing.assert_array_equal(after[str(files[1])], before[str(files[9])])
    for path in files[4:]:
        np.testing.assert_array_equal(after[str(path)], before[str(path)])
    assert counts(index()) == (32, 0, 0, 0, 32, 0)
    assert len(looked) == 1


def test_names_that_swap_keep_their_own_vectors(index, photos, tmp_path):
    a, b = sorted(photos.rglob("*.png"))[:2]
    index()
    before = held(tmp_path)
    a.rename(photos / "third.png")
    b.rename(a)
    (photos / "third.png").rename(b)
    summary = index()
    assert (summary.changed, summary.added, summary.removed) == (2, 0, 0)
    after = held(tmp_path)
    np.testing.assert_allclose(after[str(a)], before[str(b)], atol=1e-6)
    np.testing.assert_allclose(after[str(b)], before[str(a)], atol=1e-6)


def test_verify_finds_what_keeps_size_and_time(index, photos):
    file = photos / "a.bmp"  # all of one size in pixels have the same size in bytes
    Image.new("RGB", (40, 40), "purple").save(file)
    index()
    state = file.stat()
    Image.new("RGB", (40, 40), "green").save(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert counts(index())[2:] == (0, 0, 33, 0)
    assert counts(index(verify=True))[2:] == (1, 0, 32, 1)


def test_folders_are_added_and_dropped(index, tree, photos, tmp_path):
    index(photos / "red ellipse")
    assert counts(index(photos / "orange rectangle"))[:3] == (8, 4, 0)
    assert opened(tmp_path).about["roots"] == [
        str(photos / "red ellipse"),
        str(photos / "orange rectangle"),
    ]
    summary = index(photos / "lime ellipse", drop=[photos / "red ellipse"])
    assert counts(summary)[:4] == (8, 4, 0, 4)
    with pytest.raises(SketchClipError, match="is no folder of the index"):
        index(drop=[photos / "red ellipse"])


def test_a_disk_that_is_not_mounted_empties_nothing(index, photos, tmp_path):
    index()
    shutil.move(photos, tmp_path / "elsewhere")
    with pytest.raises(SketchClipError, match="does not exist"):
        index()
    photos.mkdir()
    with pytest.raises(SketchClipError, match=r"holds no photo now, and 32 of it .*--drop"):
        index()
    assert len(opened(tmp_path)) == 32
    moved = index(tmp_path / "elsewhere", drop=[photos])
    assert counts(moved) == (32, 32, 0, 32, 0, 0)  # nothing embedded again


def test_bad_files_are_listed_and_passed_over(index, photos, tmp_path):
    good = sorted(photos.rglob("*.png"))
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "empty.png").touch()
    (photos / "cut.png").write_bytes(good[0].read_bytes()[:-20])
    (photos / "lost.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "notes.txt").write_text("no photo")
    (photos / ".hidden.png").write_bytes(good[0].read_bytes())
    (photos / "_DSC1.png").write_bytes(good[0].read_bytes())
    (photos / "loop").symlink_to(photos)
    raw = os.fsencode(photos) + b"/caf\xe9.png"
    with open(raw, "wb") as file:
        file.write(good[0].read_bytes())
    summary = index()
    assert counts(summary)[:2] == (33, 33)
    bad = {"broken.jpg", "cut.png", "empty.png", "lost.png", "pipe.png", r"caf\udce9.png"}
    assert {Path(path).name for path in summary.skipped} == bad
    assert "unknown content" in summary.skipped[str(photos / "broken.jpg")]
    assert "missing file" in summary.skipped[str(photos / "lost.png")]
    good[5].write_bytes(b"damaged since")
    summary = index()
    assert counts(summary)[:4] == (32, 0, 0, 1)
    assert str(good[5]) in summary.skipped
    assert str(good[5]) not in held(tmp_path)


def test_a_folder_that_cannot_be_listed_keeps_its_photos(index, photos, tmp_path, monkeypatch):
    index()
    real, closed = os.scandir, str(photos / "red ellipse")

    def scandir(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    summary = index()
    assert (summary.photos, summary.removed) == (32, 0)
    assert summary.skipped == {closed: "cannot be listed (Permission denied)"}


def test_links_lead_to_each_photo_once(photos, tmp_path):
    (photos / "again").symlink_to(photos / "red ellipse")
    (photos / "red ellipse" / "up").symlink_to(photos)
    deep = photos
    for _ in range(60):
        deep = deep / "deep"
    deep.mkdir(parents=True)
    shutil.copy(photos / "red ellipse" / "0.png", deep / "0.PNG")
    found = find_photos([photos, photos / "red ellipse", tmp_path])
    real = [os.path.realpath(photo.path) for photo in found.photos]
    assert len(real) == len({*real}) == 33
    assert {p.class_name for p in found.photos if p.path.endswith("0.PNG")} == {"deep"}


def test_equal_photos_are_shown_once(index, photos, model, tmp_path):
    first = sorted(photos.rglob("*.png"))[0]
    for number in range(30):
        shutil.copy(first, photos / f"copy-{number}.png")
    index()
    assert len(opened(tmp_path)) == 62
    hits = opened(tmp_path).search(model.photos([first])[0], 5)
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert hits[0].score == pytest.approx(1, abs=1e-5)
    assert len({hit.path.read_bytes() for hit in hits}) == 5
    assert hits[0].path == first  # by name


def test_a_photo_by_its_id(index, tmp_path):
    index()
    made = opened(tmp_path)
    hit = made.search(np.ones(32), 1)[0]
    again = made.hit(hit.photo)
    assert (again.path, again.class_name, again.photo) == (hit.path, hit.class_name, hit.photo)
    assert hit.photo.isalnum()
    assert made.search(made.vector(hit.photo), 1)[0].path == hit.path
    for unknown in ("nothing", "../../etc/passwd", "x' OR 'a' = 'a", ""):
        with pytest.raises(SketchClipError, match="has no photo"):
            made.hit(unknown)


def test_queries_that_do_not_fit(index, tmp_path):
    index()
    made = opened(tmp_path)
    for vector in (np.ones(31), np.zeros(32), np.full(32, np.nan), np.ones((1, 32))):
        with pytest.raises(SketchClipError, match="Expected a query of 32 finite numbers"):
            made.search(vector)
    with pytest.raises(SketchClipError, match=r"no class 'dog'\. It has \d+ classes \(azure"):
        made.search(np.ones(32), 3, "dog")
    with pytest.raises(SketchClipError, match="k = 0"):
        made.search(np.ones(32), 0)
    assert len(made.search(np.ones(32), 500)) == 32


def test_models_are_not_mixed(index, photos, tmp_path, make_clip):
    import torch

    index()
    other = tmp_path / "other.pt"
    torch.save(make_clip("tiny", seed=1).state_dict(), other)
    stranger = load_model("frozen", "tiny", str(other), "cpu")
    with pytest.raises(SketchClipError, match="two models cannot be compared"):
        index_photos([photos], stranger, str(tmp_path / "index"))
    with pytest.raises(SketchClipError, match="two models cannot be compared"):
        opened(tmp_path).check_model(stranger)
    assert opened(tmp_path).load_model(device="cpu").name == "frozen tiny"


def test_places_without_photos_or_index(index, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SketchClipError, match=r"No photo under .*\.webp"):
        index(tmp_path / "empty")
    with pytest.raises(SketchClipError, match="is a file"):
        index(next(photos.rglob("*.png")))
    assert not (tmp_path / "index").exists()  # a first run that fails leaves nothing
    with pytest.raises(SketchClipError, match="There is no index at"):
        opened(tmp_path)
    with (
        locked(tmp_path / "index" / "lock", "a test"),
        pytest.raises(SketchClipError, match="Anot"),
    ):
        index()


def resume(*options: object) -> str:
    """Run the script in a process of its own: it forks, and the engine's threads do not."""
    script = REPOSITORY / "benchmarks" / "index_resume.py"
    command = [sys.executable, str(script), "--commit-every", "0.2", "--tiny", *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with():
    told = resume("--photos", 300, "--kills", 2, "--phases", "index")
    assert told.count("same ids and states") == 1


@pytest.mark.slow
def test_many_killed_runs_are_gone_on_with():
    assert resume("--photos", 3000, "--kills", 20).count("same ids and states") == 2


def test_a_model_that_was_moved_is_asked_for_and_kept(index, model, tmp_path):
    index()
    engine = opened(tmp_path).engine
    gone = {"model": "gone/run/last.ckpt", "backbone": None, "pretrained": None}
    engine.about = {**engine.about, "source": gone}
    with pytest.raises(
        SketchClipError, match=r"(?s)gone/run/last\.ckpt does not exist.*search --mo"
    ):
        opened(tmp_path).load_model()
    index()
    assert opened(tmp_path).load_model(device="cpu").name == model.name


def test_a_vector_that_cannot_be_is_damage(index, model, tmp_path):
    index()
    found = opened(tmp_path)
    path = found.search(np.ones(model.dim), 1)[0].path
    table = found.engine._table("photos")
    table.update(where=f"path = '{path}'", values={"vector": [1e30] * model.dim})
    with pytest.raises(SketchClipError, match=r"index .* is damaged: its vector of .*Make the ind"):
        opened(tmp_path).search(np.ones(model.dim), 99)


def test_an_index_that_could_not_be_made_leaves_nothing(index, model, tmp_path, monkeypatch):
    import lancedb

    place, whole = tmp_path / "index", lancedb.db.LanceDBConnection.create_table

    def fail(self, name, *args, **options):
        if name == "photos":
            return whole(self, name, *args, **options)
        (place / "about.lance" / "data").mkdir(parents=True)
        raise OSError("lance error: No space left on device (os error 28)")

    with monkeypatch.context() as changed:
        changed.setattr(lancedb.db.LanceDBConnection, "create_table", fail)
        with pytest.raises(OSError, match="No space left on device"):
            index()
    assert not place.exists()
    (place / "about.lance" / "_versions").mkdir(parents=True)  # of a process that was killed
    assert index().photos == 32
