"""Signals and broken streams, in processes of their own that load nothing heavy."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import REPOSITORY

# A command that prints, and then waits as its work would.
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from sketchclip.commands import compare
from sketchclip import cli

def run(args):
    {body}

compare.run = run
sys.argv = ["sketchclip", "compare"]
cli.console()
"""


def start(body: str, **streams: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = [sys.executable, "-c", PROGRAM.format(body=body)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | streams
    return subprocess.Popen(program, env=environment, **options)  # type: ignore[call-overload]


WAIT = "print('at work', flush=True); time.sleep(60)"
# A request within __del__ is one that Python cannot pass on.
DEAF = """
    class Deaf:
        def __del__(self):
            print('at work', flush=True); time.sleep(2)
    Deaf()
    time.sleep(60)
"""
IMPORT_ERROR = """
    try:
        print('at work', flush=True); time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError('numpy.core.multiarray failed to import') from None
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("body", [WAIT, DEAF, IMPORT_ERROR], ids=["plain", "deaf", "import"])
def test_a_signal_ends_in_one_line(body, number, status):
    process = start(body)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, "Stopped.\n")


def test_a_loader_that_could_not_start_adds_nothing_to_the_message():
    loader = """
    class _MultiProcessingDataLoaderIter:
        def __del__(self):
            self._shutdown
    _MultiProcessingDataLoaderIter.__del__.__qualname__ = "_MultiProcessingDataLoaderIter.__del__"
    _MultiProcessingDataLoaderIter()
    raise OSError(28, "No space left on device", "a")
"""
    _, said = start(loader).communicate(timeout=60)
    assert said.startswith("sketchclip: error: No space left on the disk of a,")
    assert len(said.splitlines()) == 1


def test_a_signal_while_a_command_imports_ends_at_once(tmp_path):
    swallows = "try:\n    print('at work', flush=True)\n    import time; time.sleep(60)\n"
    swallows += "except BaseException:\n    pass\n"
    (tmp_path / "swallows.py").write_text(swallows)
    body = f"sys.path.insert(0, {str(tmp_path)!r}); import swallows; time.sleep(60)"
    process = start(body)  # its code is in __main__, as where a command starts
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "Stopped.\n")


def test_a_reader_that_has_enough_stops_nothing(tmp_path):
    done = tmp_path / "done"
    body = f"[print(i, flush=i == 0) for i in range(99999)]; open({str(done)!r}, 'w').close()"
    process = start(body)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
    assert done.exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(closed, tmp_path):
    file = tmp_path / "file"
    body = f"f = open({str(file)!r}, 'w'); f.write('kept'); f.flush(); print('told'); "
    body += "sys.stderr.write('told'); sys.stdout.isatty(); assert sys.stdin.read() == ''"
    command = f'exec "$0" -c "$1" {closed}'
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = ["bash", "-c", command, sys.executable, PROGRAM.format(body=body)]
    done = subprocess.run(
        program, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert file.read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of Unix")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_come_when_they_are_printed(unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    ours, terminal = os.openpty()
    process = start("print('first'); time.sleep(60)", stdout=terminal)
    try:
        assert select.select([ours], [], [], 30)[0], "nothing was printed"
        assert os.read(ours, 5) == b"first"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(terminal)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_that_is_lost_is_told_at_the_end():
    with open("/dev/full", "w") as full:
        process = start("print('x')", stdout=full)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == (
        "sketchclip: error: Standard output could not be written (No space left on device).\n"
    )


def test_a_defect_says_where_to_report_it():
    process = start("raise KeyError('defect')")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in said
    assert "issue tracker" in said.splitlines()[-1]
