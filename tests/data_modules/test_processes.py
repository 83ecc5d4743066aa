"""A function of many items in several processes."""

import os
import subprocess
import sys
import time

import pytest

from data_modules.processes import in_processes
from tests.helpers.paths import REPOSITORY

LARGE = """
import os, sys, time
from data_modules.processes import in_processes

def large(item):
    return os.getpid(), bytes(4_000_000)  # a pipe holds 65,536

taken = in_processes(large, range(64), workers=2, chunk=1)
print(*{next(taken)[0][0] for _ in range(8)}, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_results_are_in_the_order_of_the_items(workers):
    chunks = list(in_processes(abs, [-3, 1, -2], workers, chunk=2))
    assert [result for chunk in chunks for result in chunk] == [3, 1, 2]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="processes there have a parent for ever")
def test_workers_end_with_a_process_that_is_killed():
    command = [sys.executable, "-c", LARGE]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 30
    while any(map(_lives, workers)):
        assert time.monotonic() < deadline, f"{workers} outlive their parent"
        time.sleep(0.1)
