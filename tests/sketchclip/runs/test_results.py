"""What a test leaves on disk, and the commands that read it: evaluate and compare."""

import csv
import json
import re
import shutil
import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from data_modules import SketchPhotoFolder
from data_modules.batch import Protocol
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.runs.rankings import RANKINGS, read_rankings, write_rankings
from sketchclip.runs.results import by_class, intervals, read_results


@pytest.fixture
def tested(run, monkeypatch):
    """Run folder of a test of the frozen model, with cut-offs that 8 photos have a use for."""
    monkeypatch.setattr(SketchPhotoFolder, "protocol", Protocol(map_k=(3,), precision_k=(2,)))
    return Path(run("test", method="FrozenCLIP").trainer.log_dir)


def rows(folder):
    with (folder / "queries.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def failure(capsys, *args):
    """The one message of a command that must fail."""
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in args])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_summary_and_rows_of_queries_agree(tested, tree):
    result, table = json.loads((tested / "metrics.json").read_text()), rows(tested)
    assert result["queries"] == len(table) == 6
    assert {row["class"] for row in table} == set(result["unseen_classes"])
    for name in ("mAP@all", "mAP@3", "mAP@3_voc", "mAP@3_prefix", "P@2"):
        values = [float(row[name]) for row in table]
        assert result["metrics"][name] == pytest.approx(np.mean(values), abs=1e-6)
        low, high = result["interval_95"][name]
        assert low <= result["metrics"][name] + 1e-6
        assert result["metrics"][name] - 1e-6 <= high
    for row in table:  # relative, so that runs on other machines compare
        assert (tree / row["query"]).is_file()
    for key in ("definition", "protocol", "split", "seed", "torch", "sketchclip"):
        assert result[key] not in (None, ""), key


def test_accuracy_is_of_datasets_whose_sketches_show_one_photo(run, tested, monkeypatch):
    # The plain tree's file names pair by chance; nothing there is a sketch of one photo.
    plain = json.loads((tested / "metrics.json").read_text())["metrics"]
    assert not any("Acc@" in name for name in plain)
    monkeypatch.setattr(SketchPhotoFolder, "protocol", Protocol(instances=True))
    folder = Path(run("test", method="FrozenCLIP").trainer.log_dir)
    paired = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert {"Acc@1", "Acc@1_all", "Acc@1_macro", "chance_Acc@1"} <= paired.keys()
    assert paired["mAP@all"] == pytest.approx(plain["mAP@all"])


def test_classes_weighted_by_their_queries_give_the_whole(tested):
    result = json.loads((tested / "metrics.json").read_text())
    weights = [c["queries"] for c in result["classes"].values()]
    mean = np.average([c["mAP@all"] for c in result["classes"].values()], weights=weights)
    assert sum(weights) == result["queries"]
    assert result["metrics"]["mAP@all"] == pytest.approx(mean, abs=1e-6)


def test_a_checkpoint_is_named_by_its_content(run):
    fitted = run("fit", "--trainer.max_epochs", "1")
    checkpoint = Path(fitted.trainer.log_dir) / "checkpoints" / "last.ckpt"
    folder = Path(run("test", "--ckpt_path", checkpoint).trainer.log_dir)
    digest = json.loads((folder / "metrics.json").read_text())["checkpoint_sha256"]
    assert digest == sha256(checkpoint.read_bytes()).hexdigest()[:16]


def test_ranks_and_undefined_values_stay_out_of_means():
    values = {
        "Acc@1": np.array([1.0, np.nan, np.nan]),
        "rank": np.array([1.0, np.nan, np.nan]),
    }
    told = by_class(values, np.array([0, 0, 1]), ["cat", "dog"])
    assert told == {"cat": {"queries": 2, "Acc@1": 1.0}, "dog": {"queries": 1}}
    assert intervals(values) == {"Acc@1": [1.0, 1.0]}


def test_evaluate_scores_what_predict_wrote_like_test(run, tested, tmp_path):
    folder = Path(run("predict", method="FrozenCLIP").trainer.log_dir) / "embeddings"
    sides = ["--sketches", folder / "sketch.npz", "--photos", folder / "photo.npz"]
    out = tmp_path / "scored"
    cuts = ["--map_k", 3, "--precision_k", 2]
    figures = main([str(a) for a in ["evaluate", *sides, *cuts, "--out", out]])
    expected = json.loads((tested / "metrics.json").read_text())["metrics"]
    assert figures == pytest.approx(expected, abs=1e-6)
    summary, _, values = read_results(out)
    assert summary["metrics"] == figures
    own = read_results(tested)[2]
    np.testing.assert_allclose(values["mAP@all"], own["mAP@all"], atol=1e-6)


@pytest.fixture
def arrays(tmp_path):
    """Six sketches and nine photos of three classes, saved as arrays."""
    generator = np.random.default_rng(0)
    paths = {}
    for name, array in {
        "q": generator.normal(size=(6, 4)).astype(np.float32),
        "g": generator.normal(size=(9, 4)).astype(np.float32),
        "ql": np.arange(6) % 3,
        "gl": np.arange(9) % 3,
        "own": np.array([0, 1, 2, 3, 4, -1]),
    }.items():
        paths[name] = tmp_path / f"{name}.npy"
        np.save(paths[name], array)
    return paths


def command(arrays, *more):
    given = ["evaluate", "--sketches", arrays["q"], "--photos", arrays["g"]]
    return [str(a) for a in [*given, *more]]


def labels(arrays):
    return ["--sketch_labels", arrays["ql"], "--photo_labels", arrays["gl"]]


def test_evaluate_leaves_out_usual_cut_offs_beyond_the_gallery(arrays):
    found = main(command(arrays, *labels(arrays)))
    assert not [name for name in found if name.startswith(("P@", "mAP@200"))]
    assert "mAP@all" in found


def test_evaluate_reads_arrays_and_targets(arrays):
    plain = main(command(arrays, *labels(arrays), "--map_k", "2", "--precision_k", "1"))
    assert {"mAP@all", "mAP@2", "mAP@2_voc", "mAP@2_prefix", "P@1"} <= plain.keys()
    assert not any("Acc@" in name for name in plain)
    own = main(command(arrays, *labels(arrays), "--targets", arrays["own"], "--accuracy_k", "1"))
    q, g = np.load(arrays["q"]), np.load(arrays["g"])
    scores = (q / np.linalg.norm(q, axis=1)[:, None]) @ (g / np.linalg.norm(g, axis=1)[:, None]).T
    hits = [scores[i].argmax() == i for i in range(5)]
    assert own["Acc@1_all"] == pytest.approx(np.mean(hits))


BAD = {
    "no labels": (lambda a: [], "Name their class ids with --sketch_labels"),
    "labels of another length": (
        lambda a: ["--sketch_labels", a["gl"], "--photo_labels", a["gl"]],
        "expected 6 integer class ids",
    ),
    "targets of another length": (
        lambda a: [*labels(a), "--targets", a["gl"]],
        "expected 6 row numbers of photos",
    ),
    "target of another class": (
        lambda a: [*labels(a), "--targets", a["ql"].with_name("wrong.npy")],
        "is of class",
    ),
    "no such file": (
        lambda a: ["--sketch_labels", "x.npy", *labels(a)[2:]],
        "x.npy does not exist",
    ),
    "unknown option": (lambda a: [*labels(a), "--frobnicate"], "--frobnicate"),
}


@pytest.mark.parametrize("case", BAD)
def test_evaluate_refuses(case, arrays, capsys):
    np.save(arrays["ql"].with_name("wrong.npy"), np.array([1, 1, 2, 0, 1, 2]))
    more, message = BAD[case]
    assert message in failure(capsys, *command(arrays, *more(arrays)))


def test_class_ids_may_be_any_numbers(arrays, tmp_path):
    for key in ("ql", "gl"):
        np.save(arrays[key], np.load(arrays[key]) + 10**12)
    cuts = ("--map_k", 200, "--precision_k", 100, 200)
    main(command(arrays, *labels(arrays), *cuts, "--out", tmp_path / "scored"))
    assert {row["class"] for row in rows(tmp_path / "scored")} == {
        f"{10**12 + i}" for i in range(3)
    }


def test_evaluate_never_unpickles(arrays, capsys):
    np.save(arrays["q"], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "one of Python objects" in failure(capsys, *command(arrays, *labels(arrays)))


DTYPES = [">f4", ">f8", "f2", "g", "i1", ">i8", "u2", "u8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_any_type_and_byte_order_are_scored(dtype, arrays, tmp_path):
    plain = np.round(np.load(arrays["q"]) * 20).clip(0).astype(np.dtype(dtype).newbyteorder("="))
    figures = []
    for array in (plain.astype(np.float64), plain.astype(dtype)):
        np.save(arrays["q"], array)
        np.save(arrays["ql"], (np.arange(6) % 3).astype(">u2"))
        figures.append(main(command(arrays, *labels(arrays), "--targets", arrays["own"])))
    assert figures[0] == figures[1]


UNUSABLE = {
    "complex": (np.ones((6, 4), complex), "complex128 of shape (6, 4)"),
    "texts": (np.full((6, 4), "1"), "<U1 of shape (6, 4)"),
    "dates": (np.zeros((6, 4), "M8[s]"), "datetime64[s] of shape (6, 4)"),
    "records": (np.zeros(6, [("a", "f4")]), "('a', '<f4')"),
    "one row": (np.ones(4), "shape (4,)"),
    "no axis": (np.float32(1), "shape ()"),
    "no row": (np.ones((0, 4)), "shape (0, 4)"),
    "no column": (np.ones((6, 0)), "shape (6, 0)"),
    "NaN": (np.array([[1.0, np.nan]] * 6), "row 0 holds NaN or infinity"),
    "too large": (np.array([[1.0, 1]] * 5 + [[1, 1e300]]), "row 5 holds a number too large"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_other_arrays_are_refused_by_name(case, arrays, capsys):
    array, message = UNUSABLE[case]
    np.save(arrays["q"], array)
    told = failure(capsys, *command(arrays, *labels(arrays)))
    assert str(arrays["q"]) in told
    assert message in told


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 2, 0, 1, 99], "99 in row 5, expected row numbers of photos, -1 for none, -1 to 8"),
        ([0, -2, 2, 0, -3, 2], "-2 in row 1"),
        ([2**64 - 1] * 6, "18446744073709551615 in row 0"),
        ([0.0] * 6, "float64 of shape (6,)"),
        ([True] * 6, "bool of shape (6,)"),
    ],
)
def test_targets_outside_the_gallery_are_refused_by_row(values, message, arrays, capsys):
    np.save(arrays["own"], np.array(values))
    told = failure(capsys, *command(arrays, *labels(arrays), "--targets", arrays["own"]))
    assert f"{arrays['own']}: " in told
    assert message in told


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_damaged_arrays_are_named(ending, arrays, tmp_path, capsys):
    q, file = np.load(arrays["q"]), tmp_path / f"damaged{ending}"
    if ending == ".npy":
        np.save(file, q)
    else:
        np.savez_compressed(file, state=q, label=np.arange(6) % 3)
    whole, generator = file.read_bytes(), np.random.default_rng(0)
    given = ["evaluate", "--sketches", str(file), "--photos", str(arrays["g"])]
    given += [str(a) for a in labels(arrays)]
    for length in {*range(0, 140, 7), len(whole) // 2, len(whole) - 1}:
        file.write_bytes(whole[:length])
        assert f"Cannot read {file}" in failure(capsys, *given)
    for _ in range(40):  # what is changed inside may stay readable, but never ends in a traceback
        changed = bytearray(whole)
        for at in generator.integers(min(len(whole), 140), size=5):
            changed[at] = generator.integers(256)
        file.write_bytes(changed)
        with suppress(SystemExit):
            main(given)


def _last_cell(text: bytes, value: bytes) -> bytes:
    start, _, _ = text.rpartition(b",")
    return start + b"," + value + b"\n"


def test_members_of_an_archive_that_are_no_arrays_are_named(arrays, tmp_path, capsys):
    file = tmp_path / "q.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(arrays["q"], "state.npy")
        archive.writestr("label.npy", b"no array")
    told = failure(
        capsys, "evaluate", "--sketches", file, "--photos", arrays["g"], *labels(arrays)[2:]
    )
    assert f"{file}: expected the arrays state, label, found state." in told


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-40])
def test_the_length_of_a_vector_is_no_part_of_its_direction(scale, arrays):
    plain = main(command(arrays, *labels(arrays)))
    for side in "qg":
        states = np.load(arrays[side])
        states[2] *= scale
        np.save(arrays[side], states)
    scaled = main(command(arrays, *labels(arrays)))
    assert scaled == pytest.approx(plain, abs=1e-4 if scale == 1e-40 else 1e-6)


def test_files_that_do_not_fit_together_are_all_named(arrays, capsys):
    np.save(arrays["ql"], np.full(6, 99))
    told = failure(capsys, *command(arrays, *labels(arrays)))
    for key in ("q", "g", "ql", "gl"):
        assert str(arrays[key]) in told
    assert "class ids [99] have no photo" in told


def test_numbers_that_vanish_in_32_bits_are_refused(arrays, capsys, recwarn):
    states = np.load(arrays["q"]).astype(float)
    for scale, what in ((1e-200, "row 0 holds numbers too small"), (1e300, "too large for 32 bit")):
        np.save(arrays["q"], states * scale)
        told = failure(capsys, *command(arrays, *labels(arrays)))
        assert f"{arrays['q']}: " in told
        assert what in told
    assert not recwarn.list


def test_files_of_evaluate_are_looked_for_first(arrays, tmp_path, capsys):
    missing = tmp_path / "no.npy"
    told = failure(capsys, "evaluate", "--sketches", missing, "--photos", arrays["g"])
    assert f"{missing} does not exist" in told
    told = failure(capsys, *command(arrays, *labels(arrays), "--out", arrays["q"]))
    assert f"--out {arrays['q']} is a file. Name a folder." in told


@pytest.fixture
def scored(arrays, tmp_path):
    """Folder of 'evaluate --out', and a copy to damage."""
    cuts = ("--map_k", 200, "--precision_k", 100, 200)
    main(command(arrays, *labels(arrays), *cuts, "--out", tmp_path / "scored"))
    shutil.copytree(tmp_path / "scored", tmp_path / "cut")
    return tmp_path / "scored", tmp_path / "cut"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda text: text[: len(text) // 2 + 3], r"has [123] of 6 queries: test again"),
        (lambda text: text[:-3], "has 5 of 6 queries: test again"),
        (lambda text: text[: text.index(b"\n") + 1], "has 0 of 6 queries"),
        (lambda text: text[:8], "has 0 of 6 queries"),
        (lambda text: b"", "has 0 of 6 queries"),
        (lambda text: text[:-9] + b"x" + text[-8:], "cannot be read .*test again"),
        (lambda text: text + b"\xff\0", "cannot be read .*test again"),
        (lambda text: text.replace(b",", b";"), r"begins with 'query;class;.*separated by commas"),
        (lambda text: text + b"5,1\n", "1 rows are not whole: test again"),
        (lambda text: _last_cell(text, b"-1"), "of 5 is -1, which it cannot be: test again"),
        (lambda text: _last_cell(text, b"1e308"), "of 5 is 1e.308, which it cannot be: test again"),
        (lambda text: text.replace(b"\n5,2,", b"\n5,1,"), "3 queries of '1', and metrics.json 2"),
        (lambda text: text.replace(b"mAP@all", b"P@100", 1), "has the columns 'query, class"),
    ],
)
def test_half_written_queries_are_no_results(part, message, scored, tmp_path, capsys):
    whole, cut = scored
    file = cut / "queries.csv"
    file.write_bytes(part(file.read_bytes()))
    for args in (("compare", cut, whole), ("compare", whole, cut), ("show", cut)):
        told = failure(capsys, *args)
        assert str(file) in told
        assert re.search(message, told), told


METRICS = {"mAP@all": 0.5}
CHANGED = [
    {"metrics": {"mAP@all": "x"}},
    {"metrics": {"mAP@all": 1e9}},
    {"metrics": {"mAP@all": -0.5}},
    {"metrics": {"mAP@all": float("nan")}},
    {"metrics": METRICS, "classes": {"a": {"queries": 3, "mAP@all": 7}}},
    {"metrics": METRICS, "backbone": "0"},
    {"metrics": METRICS, "classes": {"a": 5}},
    {"metrics": METRICS, "classes": {"a": {"queries": []}}},
    {"metrics": METRICS, "queries": True},
    {"metrics": METRICS, "interval_95": {"mAP@all": [0.1]}},
    {"metrics": METRICS, "unseen_classes": {}},
]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\0", *map(json.dumps, CHANGED)])
def test_damaged_metrics_are_no_results(text, scored, tmp_path, capsys):
    whole, cut = scored
    (cut / "metrics.json").write_text(text)
    for args in (("compare", cut, whole), ("show", cut), ("table", cut), ("plot", cut)):
        assert f"{cut / 'metrics.json'} cannot be read" in failure(capsys, *args)


def test_a_mark_in_front_of_a_table_is_no_part_of_it(scored, capsys):
    whole, marked = scored
    file = marked / "queries.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    main(["compare", str(whole), str(marked)])
    assert "6 queries" in capsys.readouterr().out


def test_a_table_needs_results_of_a_dataset(scored, capsys):
    assert "no dataset, split in metrics.json" in failure(capsys, "table", scored[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"own": np.full(4, -1)}, "has the photos of 4 of 6 queries: test again"),
        ({"shown": np.full((6, 2), 7)}, "shown names photos that it does not hold"),
        ({"root": None}, "expected the arrays path, shown, hit, own, root"),
        ({"shown": np.zeros((6, 0), int), "hit": np.zeros((6, 0), bool)}, "test again"),
    ],
)
def test_rankings_of_other_queries_are_refused(changed, message, tmp_path):
    shown, own = np.array([[0, 1]] * 6), np.full(6, -1)
    write_rankings(tmp_path, shown, shown == 0, own, str, tmp_path)
    assert read_rankings(tmp_path, 6).path.tolist() == ["0", "1"]
    with np.load(tmp_path / RANKINGS) as saved:
        kept = {name: array for name, array in {**saved, **changed}.items() if array is not None}
    np.savez(tmp_path / RANKINGS, **kept)
    with pytest.raises(SketchClipError, match=message):
        read_rankings(tmp_path, 6)


def test_compare_tells_a_difference_from_none(arrays, tmp_path):
    folders = []
    truth = np.eye(3, dtype=np.float32)
    generator = np.random.default_rng(1)
    gallery, ids = np.repeat(truth, 30, axis=0), np.repeat(np.arange(3), 30)
    for name, noise in (("good", 0.3), ("same", 0.3), ("bad", 3.0)):
        generator = np.random.default_rng(1 if name != "bad" else 2)
        for key, array in (
            ("q", np.repeat(truth, 40, axis=0)),
            ("g", gallery),
            ("ql", np.repeat(np.arange(3), 40)),
            ("gl", ids),
        ):
            shaken = key in "qg"
            if shaken:
                array = array + noise * generator.normal(size=array.shape).astype(np.float32)
            np.save(arrays[key], array)
        folders.append(tmp_path / name)
        main(command(arrays, *labels(arrays), "--out", folders[-1]))
    good, same, bad = folders
    worse = main(["compare", str(good), str(bad), "--resamples", "999"])["mAP@all"]
    assert worse["high"] < 0
    assert worse["p"] == pytest.approx(1 / 1000)
    assert worse["difference"] == pytest.approx(worse["b"] - worse["a"])
    equal = main(["compare", str(good), str(same)])["mAP@all"]
    assert (equal["difference"], equal["p"]) == (0, 1)


def test_compare_refuses_other_queries_and_protocols(tested, tmp_path, capsys):
    assert "holds no results" in failure(capsys, "compare", tested, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    text = (tested / "queries.csv").read_text()
    (other / "queries.csv").write_text(text.replace("sketch/", "drawn/"))
    summary = json.loads((tested / "metrics.json").read_text())
    (other / "metrics.json").write_text(json.dumps(summary))
    assert "not on the same queries" in failure(capsys, "compare", tested, other)
    (other / "metrics.json").write_text(json.dumps(summary | {"split": "random:3:0"}))
    message = failure(capsys, "compare", tested, other)
    assert "differ in split" in message
    assert "random:2:0" in message
