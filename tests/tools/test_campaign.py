"""The campaign finds what is planted, says what it is, keeps it small, and goes on where it was."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.images.read import read_image
from sketchclip.errors import SketchClipError
from tools import campaign
from tools.campaign import Campaign
from tools.campaigns.inputs import Inputs
from tools.campaigns.interruptions import Interruptions
from tools.campaigns.kept import Kept, halve
from tools.campaigns.kinds import arrays, drawings, images
from tools.campaigns.kinds.arrays import check_metrics, reference
from tools.campaigns.kinds.cases import Case
from tools.campaigns.kinds.drawings import check_ink, check_strokes
from tools.campaigns.kinds.images import check_pixels
from tools.campaigns.log import Log, summary
from tools.campaigns.observe import WrongResultError, general
from tools.campaigns.processes import Ended, Launcher
from tools.campaigns.system_faults import SystemFaults
from tools.campaigns.tasks import Task
from tools.campaigns.undisturbed import Bench, status_of

CONTENT = b"ten bytes, then a planted X, then more of it"


def _raise(error: BaseException) -> None:
    raise error


ENDS = {
    "fine": lambda: None,
    "refused": lambda: _raise(SketchClipError("the.file: expected no X.")),
    "unclear": lambda: _raise(SketchClipError("wrong.")),
    "traceback": lambda: _raise(KeyError("X")),
    "wrong": lambda: _raise(WrongResultError("2, and the reference has 3")),
    "hang": lambda: time.sleep(60),
    "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def planted(end: str):
    """A kind of input that ends in one way if its content holds an X."""

    def make(chance, fixtures, scratch) -> Case:
        number = chance.randrange(1 << 30)

        def attempt(content: bytes) -> None:
            if b"X" in content:
                ENDS[end]()

        return Case(f"number {number}", CONTENT, attempt, ("the.file",))

    return make


@pytest.fixture
def campaign_of(tmp_path: Path):
    """Makes a campaign of planted kinds in one folder, and ends its processes."""
    made = []

    def make(*ends: str) -> Campaign:
        part = Inputs(tmp_path, {end: planted(end) for end in ends}, limit=0.5)
        made.append(part)
        kinds = {f"inputs/{end}": "inputs" for end in ends}
        log = Log(tmp_path / "trials.csv")
        return Campaign({"inputs": part}, kinds, log, Kept(tmp_path / "faults"), "0")

    yield make
    for part in made:
        part.close()


def test_each_end_is_told_apart_and_faults_are_kept_small(campaign_of, tmp_path):
    campaign_of(*ENDS).run(60, len(ENDS))
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["kind"].removeprefix("inputs/"): row["outcome"] for row in rows}
    assert found == {**{end: end for end in ENDS}, "dies": "traceback"}
    kept = {path.name.split("_")[1]: path for path in (tmp_path / "faults").iterdir()}
    assert kept.keys() == ENDS.keys() - {"fine", "refused"}
    for end in ("unclear", "traceback", "wrong"):
        assert (kept[end] / "input").read_bytes() == b"X"
    assert (kept["hang"] / "input").read_bytes() == CONTENT
    assert "KeyError" in (kept["traceback"] / "about.txt").read_text()


def test_a_fault_is_kept_once_and_a_campaign_goes_on_after_its_last_whole_line(
    campaign_of, tmp_path, capsys
):
    campaign_of("traceback").run(60, 2)
    table = tmp_path / "trials.csv"
    with table.open("a") as file:
        file.write("3,inputs/traceback,0-2,num")  # killed while it wrote
    campaign_of("traceback").run(60, 2)
    log = Log(table)
    assert [(t.number, t.seed) for t in log.trials] == [(n + 1, f"0-{n}") for n in range(4)]
    assert len({trial.done for trial in log.trials}) == 4  # other seeds, other inputs
    assert len(list((tmp_path / "faults").iterdir())) == 1
    assert capsys.readouterr().out.count("traceback: KeyError") == 1
    lines = summary(log.trials).splitlines()
    assert lines[-1].split("|")[1:3] == [" all              ", " 4     "]
    assert lines[2].split("|")[6].strip() == "4"  # tracebacks


def test_the_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SketchClipError, match="another --output"):
        Log(path)


@pytest.mark.parametrize(("end", "status"), [("refused", 0), ("traceback", 1)])
def test_the_exit_status_tells_of_faults(end, status, tmp_path, monkeypatch, capsys):
    part = Inputs(tmp_path, {end: planted(end)})
    monkeypatch.setattr(part, "prepare", lambda: None)
    monkeypatch.setattr(campaign, "make_part", lambda *_: part)
    given = ["--output", str(tmp_path), "--parts", "inputs", "--trials", "1"]
    assert campaign.main(given) == status
    assert f"inputs/{end}" in capsys.readouterr().out
    repeated = ["--output", str(tmp_path), "--repeat", f"inputs/{end}:0-0"]
    assert campaign.main(repeated) == status


PLAIN = [*images.MAKERS, *drawings.MAKERS, *arrays.MAKERS, "grid"]


@pytest.mark.parametrize("kind", PLAIN)
def test_a_seed_makes_the_same_input_again(kind, tmp_path):
    part = Inputs(tmp_path)
    first, again, other = (part.case(kind, seed, tmp_path / "s") for seed in ("1", "1", "2"))
    assert (first.data, first.done) == (again.data, again.done)
    assert (first.data, first.done) != (other.data, other.done)


def test_halving_ends_with_the_time():
    assert halve(b"a" * 99, lambda data: True, seconds=0) == b"a" * 99
    assert halve(b"abcXdefYg", lambda data: data.find(b"X") < data.find(b"Y")) in (b"XY", b"Y")


def test_messages_of_one_fault_are_alike():
    one, other = "/a/b.png: 3 rows of 'x'", "/c/d.png: 17 rows of 'y'"
    assert general(one) == general(other) != general("/a/b.png: 3 columns of 'x'")


def test_checks_of_results_can_fail(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 4), (9, 99, 200)).save(path)
    pixels = read_image(path)
    check_pixels(pixels, path.read_bytes())
    with pytest.raises(WrongResultError, match="differ"):
        check_pixels(255 - pixels, path.read_bytes())
    with pytest.raises(WrongResultError, match="refuses"):
        check_pixels(pixels, b"nothing")
    with pytest.raises(WrongResultError, match="no ink"):
        check_ink(np.full((224, 224, 3), 255, np.uint8))
    line = b'{"drawing": [[[1, 2], [3, 4]]]}'
    check_strokes([np.array([[1, 3], [2, 4]])], line)
    for wrong in (line.replace(b"4", b"5"), line.replace(b"4", b"true"), b"{}"):
        with pytest.raises(WrongResultError):
            check_strokes([np.array([[1, 3], [2, 4]])], wrong)


def test_metrics_are_checked_against_numpy(tmp_path):
    noise = np.random.default_rng(0)
    files = tuple(tmp_path / f"{name}.npy" for name in ("q", "ql", "g", "gl"))
    for file, count in zip(files[::2], (6, 12), strict=True):
        np.save(file, noise.normal(size=(count, 4)))
    for file, count in zip(files[1::2], (6, 12), strict=True):
        np.save(file, np.arange(count) % 3)
    right = reference(*map(np.load, files), euclid=False)
    check_metrics(right, files, euclid=False)
    with pytest.raises(WrongResultError, match="NumPy has"):
        check_metrics({**right, "P@5": 1 - right["P@5"]}, files, euclid=False)
    np.save(files[0], np.full((6, 4), np.nan))
    with pytest.raises(WrongResultError, match="not finite"):
        check_metrics(right, files, euclid=False)


TRACEBACK = "Traceback (most recent call last):\nOSError: full\n"
ERROR = "sketchclip: error: /out/a: the disk is full.\n"


@pytest.mark.parametrize(
    ("status", "stderr", "outcome"),
    [
        (0, "", "fine"),
        (2, ERROR, "refused"),
        (2, ERROR + ERROR, "unclear"),
        (2, "usage: sketchclip", "unclear"),
        (1, "", "unclear"),
        (1, TRACEBACK, "traceback"),
        (0, TRACEBACK, "traceback"),
        (-11, "", "traceback"),
        (None, "", "hang"),
    ],
)
def test_ends_of_commands_are_told_apart(status, stderr, outcome):
    assert status_of(Ended(status, "", stderr, 1.0)).outcome == outcome


def test_a_case_that_cannot_be_made_is_seen(tmp_path):
    part = Inputs(tmp_path, {"broken": lambda *_: 1 // 0})
    report = part.trial("broken", "0")
    part.close()
    assert report.observed.outcome == "traceback"
    assert "ZeroDivisionError" in report.observed.message


@pytest.mark.parametrize(
    ("status", "stderr", "left", "partial", "outcome"),
    [
        (130, "Stopped.", [], [], None),
        (0, "", [], [], None),  # it had ended
        (130, TRACEBACK, [], [], "traceback"),
        (1, "", [], [], "unclear"),
        (None, "", [], [], "hang"),
        (130, "", [4], [], "wrong"),
        (130, "", [], ["last.ckpt.partial"], "wrong"),
    ],
)
def test_what_ctrl_c_leaves_is_checked(
    status, stderr, left, partial, outcome, tmp_path, monkeypatch
):
    part = Interruptions(tmp_path)
    monkeypatch.setattr(part._launcher, "left", lambda: left)
    monkeypatch.setattr(part._launcher, "kill", lambda: None)
    monkeypatch.setattr(part._bench, "partial", lambda: partial)
    monkeypatch.setattr(part._bench, "compared", lambda *_, **__: None)
    found = part._check("fit", Ended(status, "", stderr, 1.0), signal.SIGINT)
    assert (found and found.outcome) == outcome


@pytest.mark.parametrize(
    ("files", "last", "outcome"),
    [
        ({"a": "1", "b": "2"}, True, None),
        ({"a": "1"}, False, None),
        ({"a": "1"}, True, "lost"),
        ({"a": "1", "b": "3"}, False, "wrong"),
        ({"a": "1", "b": "2", "c": "3"}, True, "wrong"),
        ({"a": "1", "b": "2", "x.partial": ""}, True, "wrong"),
        ({"a": "unreadable"}, False, "lost"),
    ],
)
def test_results_are_compared_with_an_undisturbed_run(files, last, outcome, tmp_path):
    def result(_, work: Path) -> dict[str, str]:
        found = {path.name: path.read_text() for path in (work / "out").glob("?")}
        assert "unreadable" not in found.values()
        return found

    (tmp_path / "fixtures").mkdir()
    known = {"result": {"a": "1", "b": "2"}, "names": ["a", "b"], "seconds": 1.0}
    (tmp_path / "fixtures" / "task.json").write_text(json.dumps(known))
    bench = Bench(tmp_path, {"task": Task(lambda *_: [], result)}, Launcher(tmp_path / "output"))
    (bench.work / "out").mkdir(parents=True)
    for name, content in files.items():
        (bench.work / "out" / name).write_text(content)
    found = bench.compared("task", last)
    bench.close()
    assert (found and found.outcome) == outcome
    assert bench.partial() == [name for name in files if name == "x.partial"]


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize(("error", "message"), [("28", "No space left"), ("0", "2 of 4")])
def test_the_nth_write_below_a_folder_fails(error, message, tmp_path):
    part = SystemFaults(tmp_path)
    part.close()
    (tmp_path / "below").mkdir()
    code = "import os, sys\nfor name in sys.argv[1:]:\n  f = os.open(name, 65)\n  "
    code += "for n in (1, 2):\n    print(os.write(f, b'four'), 'of 4')"
    env = {
        **{"FAULT_CALL": "write", "FAULT_BELOW": str(tmp_path / "below"), "FAULT_NTH": "2"},
        **{"FAULT_ERROR": error, "LD_PRELOAD": str(tmp_path / "shim.so")},
        "FAULT_FIRED": str(tmp_path / "fired"),
    }
    files = [tmp_path / "beside", tmp_path / "below" / "a"]
    command = [sys.executable, "-S", "-c", code, *map(str, files)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert message in done.stdout + done.stderr
    assert files[0].read_bytes() == b"fourfour"
    assert files[1].read_bytes() == {"28": b"four", "0": b"fourfo"}[error]
    assert (tmp_path / "fired").is_file()


@pytest.mark.slow
def test_a_short_campaign_finds_no_fault(tmp_path, capsys):
    kinds = ["--parts", "inputs", "--kinds", "png,jpeg,webp,bmp,gif,tiff,ppm,ico,ndjson,strokes"]
    status = campaign.main(["--minutes", "1", "--output", str(tmp_path), "--seed", "test", *kinds])
    table = capsys.readouterr().out
    assert status == 0, table
    assert len(Log(tmp_path / "trials.csv").trials) > 200
