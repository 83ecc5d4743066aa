"""Fifty clients at once: everybody is answered, nothing breaks, memory stays bounded."""

import os

import pytest

from tests.helpers.storm import CLIENTS, EXPECTED, memory, server, storm


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_a_minute_of_the_real_server():
    with server() as (pid, port):
        storm(port, CLIENTS, 5)  # fills the caches
        before = memory(pid)
        figures = storm(port, CLIENTS, 60)
        after = memory(pid)
    print(figures, f"{before} MB, then {after} MB")
    assert figures.broken == []
    assert set(figures.statuses) <= EXPECTED
    assert figures.statuses[200] > 1000
    assert after < before + 150
