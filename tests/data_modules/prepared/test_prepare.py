import json
import multiprocessing
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from data_modules.locks import locked
from data_modules.prepared import prepare as preparing
from data_modules.prepared.prepare import prepare
from data_modules.prepared.reader import FileReader, PreparedReader, open_reader
from data_modules.prepared.store import digest_of, read_entries
from data_modules.transforms import Fit
from sketchclip.errors import SketchClipError
from tests.helpers.paths import REPOSITORY

FIT = Fit(32, "letterbox")


def _write(path: Path, seed: int, grey: bool = False) -> Path:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (20 + seed % 7, 41, 3), dtype=np.uint8)
    if grey:
        pixels[..., 1:] = pixels[..., :1]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three grey sketches and four colour photos, one of them a JPEG."""
    root = tmp_path / "data"
    sketches = [_write(root / f"sketch/cat/{n}.png", n, grey=True) for n in range(3)]
    photos = [_write(root / f"photo/cat/{n}.png", 10 + n) for n in range(3)]
    return [*sketches, *photos, _write(root / "photo/cat/3.jpg", 13)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prepared"


def _same(reader: PreparedReader, files: list[Path]) -> None:
    """Every image is the file's, bit for bit, and came from the folder."""
    expected = FileReader(reader.files.fit)
    for path in files:
        image = reader(path)
        assert image.dtype == np.uint8
        assert image.flags.writeable
        np.testing.assert_array_equal(image, expected(path))
    assert reader.fallbacks == 0


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_prepared_images_are_those_of_the_files(files, root, folder, workers, capfd):
    many = [*files, *(_write(root / f"photo/dog/{n}.png", n) for n in range(70))]
    summary = prepare(many, root, folder, FIT, workers)
    assert (summary.images, summary.written, summary.kept) == (77, 77, 0)
    assert not summary.unreadable
    assert "prepare: 77 of 77" in capfd.readouterr().err  # no terminal here: lines
    assert len(read_entries(folder)) == 77
    _same(PreparedReader(folder, FIT, root), many)
    again = prepare(many, root, folder, FIT, workers, progress=False)
    assert (again.written, again.kept, again.bytes) == (0, 77, 0)
    assert capfd.readouterr().err == ""


def test_grey_images_take_one_channel(files, root, folder):
    summary = prepare(files, root, folder, FIT)
    (pixels,) = folder.glob("*.bin")
    assert summary.bytes == pixels.stat().st_size == 32 * 32 * (3 * 1 + 4 * 3)
    entries = read_entries(folder)
    assert {e.channels for k, e in entries.items() if "sketch" in k} == {1}
    assert {e.channels for k, e in entries.items() if "photo" in k} == {3}


def test_nothing_in_the_folder_is_pickled(files, root, folder):
    prepare(files, root, folder, FIT)
    names = {path.name for path in folder.iterdir()}
    assert names == {"prepared.json", "lock", "index.sqlite", "pixels-0.bin"}
    json.loads((folder / "prepared.json").read_text())
    assert (folder / "index.sqlite").read_bytes().startswith(b"SQLite format 3")


KILLED = """
import sys, time
from pathlib import Path
from data_modules.locks import locked
from data_modules.prepared.prepare import prepare
from data_modules.transforms import Fit

class Slow(Fit):
    def __call__(self, image):
        time.sleep(0.01)
        return super().__call__(image)

root, folder = map(Path, sys.argv[1:])
prepare(sorted(root.rglob("*.png")), root, folder, Slow(32, "letterbox"), workers=2, progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_is_resumed(tmp_path, root, folder):
    files = [_write(root / f"photo/c{n % 5}/{n:03d}.png", n, grey=n % 3 == 0) for n in range(400)]
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root), str(folder)],
        cwd=REPOSITORY,
    )
    deadline = time.monotonic() + 120
    while not (folder / "index.sqlite").exists() or not read_entries(folder):
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    while _is_locked(folder):  # its worker processes hold the lock, but do not outlive it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done = read_entries(folder)
    assert 0 < len(done) < 400
    early = PreparedReader(folder, FIT, root)  # whatever is there already is whole
    _same(early, [path for path in files if path.relative_to(root).as_posix() in done])

    summary = prepare(files, root, folder, FIT, workers=2)
    assert (summary.kept, summary.written) == (len(done), 400 - len(done))
    used = {f"pixels-{entry.file}.bin" for entry in read_entries(folder).values()}
    assert {path.name for path in folder.glob("*.bin")} == used
    prepare(files, root, tmp_path / "undisturbed", FIT)
    other = PreparedReader(tmp_path / "undisturbed", FIT, root)
    resumed = PreparedReader(folder, FIT, root)
    for path in files:
        np.testing.assert_array_equal(resumed(path), other(path))
    _same(resumed, files)


def _is_locked(folder: Path) -> bool:
    try:
        with locked(folder / "lock", "busy"):
            return False
    except SketchClipError:
        return True


def test_pixels_that_were_not_committed_are_never_read(files, root, folder, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "put_entries", die)  # between the pixels and the commit
        with pytest.raises(KeyboardInterrupt):
            prepare(files, root, folder, FIT)
    assert (folder / "pixels-0.bin").stat().st_size
    assert not read_entries(folder)
    reader = PreparedReader(folder, FIT, root)
    with pytest.warns(UserWarning, match="not in"):
        reader(files[0])
    assert reader.fallbacks == 1
    assert prepare(files, root, folder, FIT).written == 7
    _same(PreparedReader(folder, FIT, root), files)
    (folder / "index.sqlite").unlink()
    assert prepare(files, root, folder, FIT).written == 7
    assert len([*folder.glob("*.bin")]) == 1


def test_a_second_run_at_the_same_time_is_refused(files, root, folder):
    with (
        locked(folder / "lock", "a test"),
        pytest.raises(SketchClipError, match=rf"Another run .*\(process {os.getpid()} on "),
    ):
        prepare(files, root, folder, FIT)
    assert prepare(files, root, folder, FIT).written == 7  # free again


def test_changed_content_is_noticed(files, root, folder):
    prepare(files, root, folder, FIT)
    changed, touched = files[3], files[4]
    state = changed.stat()
    old = changed.read_bytes()
    _write(changed, 99)
    changed.write_bytes(changed.read_bytes().ljust(len(old), b"\0"))
    os.utime(changed, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))
    os.utime(touched)

    reader = PreparedReader(folder, FIT, root)
    with pytest.warns(UserWarning, match="changed since"):
        image = reader(changed)
    np.testing.assert_array_equal(image, FileReader(FIT)(changed))
    reader(changed)
    assert reader.fallbacks == 2
    reader(touched)
    assert reader.fallbacks == 2  # the time is new, the content is not

    summary = prepare(files, root, folder, FIT)
    assert (summary.written, summary.kept) == (1, 6)
    _same(PreparedReader(folder, FIT, root), files)
    entry = read_entries(folder)["photo/cat/1.png"]
    assert entry.mtime == touched.stat().st_mtime_ns  # no need to compare contents again
    assert prepare(files, root, folder, FIT).kept == 7


def test_pixels_that_are_replaced_entirely_go(files, root, folder):
    prepare(files, root, folder, FIT)
    first = set(folder.glob("*.bin"))
    for number, path in enumerate(files):
        _write(path, 50 + number)
        os.utime(path, ns=(0, number))
    assert prepare(files, root, folder, FIT).written == 7
    assert not first & set(folder.glob("*.bin"))
    _same(PreparedReader(folder, FIT, root), files)


def test_new_files_are_read_from_disk_and_counted(files, root, folder):
    prepare(files[:5], root, folder, FIT)
    reader = open_reader(FIT, str(folder), root)
    with pytest.warns(UserWarning, match="^2 of 7 images are not in"):
        assert reader.report(files) == 2
    for path in files:
        np.testing.assert_array_equal(reader(path), FileReader(FIT)(path))  # warns no more
    assert reader.fallbacks == 2


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Fit(48, "letterbox"), "size=32.* needs .*size=48"),
        (Fit(32, "squash"), "resize=letterbox.* needs .*resize=squash"),
        (Fit(32, "letterbox", "bilinear"), "=bicubic.* needs .*=bilinear"),
    ],
)
def test_other_settings_are_refused(files, root, folder, other, found):
    prepare(files, root, folder, FIT)
    for use in (
        lambda: open_reader(other, str(folder), root),
        lambda: prepare(files, root, folder, other),
    ):
        with pytest.raises(SketchClipError, match=found):
            use()


def test_another_version_is_refused(files, root, folder):
    prepare(files, root, folder, FIT)
    settings = json.loads((folder / "prepared.json").read_text())
    (folder / "prepared.json").write_text(json.dumps(settings | {"version": 0}))
    with pytest.raises(SketchClipError, match=r"version=0.* needs version=2"):
        PreparedReader(folder, FIT, root)


def test_a_folder_of_something_else_is_refused(files, root, folder):
    with pytest.raises(SketchClipError, match="it holds photo, sketch"):
        prepare(files, root, root, FIT)
    assert {path.name for path in root.iterdir()} == {"photo", "sketch"}
    with pytest.raises(SketchClipError, match="no folder of prepared images"):
        open_reader(FIT, str(root), root)
    with pytest.raises(SketchClipError, match="no folder of prepared images"):
        open_reader(FIT, str(folder), root)


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_files_are_listed(files, root, folder, workers):
    broken = root / "photo/cat/broken.jpg"
    broken.write_bytes(files[-1].read_bytes()[:50])
    empty = root / "photo/cat/empty.png"
    empty.touch()
    gone = root / "photo/cat/gone.png"
    summary = prepare([broken, *files, empty, gone], root, folder, FIT, workers)
    assert summary.written == 7
    assert len(summary.unreadable) == 3
    for path in (broken, empty, gone):
        assert any(str(path) in message for message in summary.unreadable)
        assert str(path) in str(summary)
    _same(PreparedReader(folder, FIT, root), files)
    reader = PreparedReader(folder, FIT, root)
    with pytest.raises(SketchClipError, match=r"broken\.jpg"), pytest.warns(match="not in"):
        reader(broken)


def test_a_full_disk_is_noticed_before_anything_is_written(files, root, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 100_000))
    with pytest.raises(SketchClipError, match=r"7 images .* need about 1 MB.* has 0 MB free"):
        prepare(files, root, folder, FIT)
    assert not list(folder.glob("*.bin"))


def test_a_process_that_dies_is_an_error_and_the_rest_stays(files, root, folder):
    many = [*files, *(_write(root / f"photo/dog/{n}.png", n) for n in range(70))]
    with pytest.raises(SketchClipError, match="was killed"):
        prepare(many, root, folder, _Deadly(32, "letterbox"), workers=2, progress=False)
    assert prepare(many, root, folder, FIT).images == 77
    _same(PreparedReader(folder, FIT, root), many)


class _Deadly(Fit):
    def __call__(self, image: np.ndarray) -> np.ndarray:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image)


class _Images(Dataset):
    def __init__(self, reader, files):
        self.reader, self.files = reader, files

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.reader(self.files[index])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_reader_works_in_every_kind_of_process(files, root, folder, context):
    prepare(files, root, folder, FIT)
    reader = PreparedReader(folder, FIT, root)
    reader(files[0])  # its maps are open here when the workers start
    loader = DataLoader(
        _Images(reader, files), batch_size=7, num_workers=1, multiprocessing_context=context
    )
    (batch,) = loader
    np.testing.assert_array_equal(batch.numpy(), [FileReader(FIT)(path) for path in files])


def test_a_pickled_reader_opens_the_folder_itself(files, root, folder):
    prepare(files, root, folder, FIT)
    reader = PreparedReader(folder, FIT, root)
    fresh = len(pickle.dumps(reader))
    _same(reader, files)
    assert len(pickle.dumps(reader)) == fresh  # no maps, no index
    _same(pickle.loads(pickle.dumps(reader)), files)


def test_a_moved_dataset_stays_prepared(files, root, folder, tmp_path):
    prepare(files, root, folder, FIT)
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved, copy_function=shutil.copy)  # new times, too
    shutil.rmtree(root)
    names = [moved / path.relative_to(root) for path in files]
    _same(PreparedReader(folder, FIT, moved), names)
    assert prepare(names, moved, folder, FIT).kept == 7


def test_a_damaged_array_is_one_clear_error(files, root, folder):
    prepare(files, root, folder, FIT)
    (path,) = folder.glob("*.bin")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SketchClipError, match=r"pixels-0\.bin are damaged"):
        PreparedReader(folder, FIT, root)(files[-1])
    path.unlink()  # a deleted one is only missing, and is made again
    reader = PreparedReader(folder, FIT, root)
    reader.report([])
    reader(files[-1])
    assert reader.fallbacks == 1
    assert prepare(files, root, folder, FIT).written == 7
    _same(PreparedReader(folder, FIT, root), files)


def test_a_damaged_index_is_one_clear_error(files, root, folder):
    prepare(files, root, folder, FIT)
    path = folder / "index.sqlite"
    path.write_bytes(path.read_bytes()[:100].ljust(4096, b"x"))
    with pytest.raises(SketchClipError, match=f"{path} .* damaged"):
        PreparedReader(folder, FIT, root)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE images SET channels = 7",
        "UPDATE images SET start = -5",
        "UPDATE images SET size = 'many'",
        "UPDATE images SET digest = CAST(X'80ff' AS TEXT)",
        "UPDATE images SET id = 99999999999",
    ],
)
def test_values_that_no_entry_has_are_damage(change, files, root, folder):
    prepare(files, root, folder, FIT)
    path = folder / "index.sqlite"
    with sqlite3.connect(path) as index:
        index.execute(change + " WHERE id = 1")
    with pytest.raises(SketchClipError, match=f"{path} .* damaged"):
        _same(PreparedReader(folder, FIT, root), files)


def _drawings(path: Path, shift: int) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    strokes = [[[[0, 200], [10 * n, 200 - shift * n]], [[100, 130], [0, 250]]] for n in range(4)]
    path.write_text("".join(json.dumps({"word": "cat", "drawing": s}) + "\n" for s in strokes))
    return [path.with_name(f"{path.name}#{n}") for n in range(4)]


def test_drawings_of_one_file_are_prepared_one_by_one(root, folder):
    file = root / "sketch/cat.ndjson"
    drawings = _drawings(file, shift=20)
    assert len({digest_of(path) for path in drawings}) == 4
    assert prepare(drawings, root, folder, FIT).written == 4
    _same(PreparedReader(folder, FIT, root), drawings)
    before = file.read_text().splitlines()
    _drawings(file, shift=30)  # the drawing in line 0 stays as it is
    after = file.read_text().splitlines()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False, False]
    os.utime(file, ns=(0, 0))
    summary = prepare(drawings, root, folder, FIT)
    assert (summary.written, summary.kept) == (3, 1)
    _same(PreparedReader(folder, FIT, root), drawings)
