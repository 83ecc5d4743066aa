"""Without a network a command answers in seconds, from the cache or with a message."""

import logging
import os
import socket
import threading
import time

import pytest
from huggingface_hub import constants

from sketchclip.system import network

VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    network._connect.cache_clear()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield
    network._connect.cache_clear()


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_hub_is_asked_where_it_is_configured(port, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with network.hub() as problem:
        assert problem is None
        assert not constants.is_offline_mode()


def test_a_proxy_is_asked_in_place_of_the_hub(port, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    assert network.hub_problem() is None


def test_without_a_network_the_library_is_told_so(monkeypatch, caplog):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with network.hub() as problem:
        assert problem == f"127.0.0.1 cannot be reached ({os.strerror(111)})"
        assert constants.is_offline_mode()
        logging.error("a library's own words")
    assert not caplog.records
    assert not constants.is_offline_mode()


def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch):
    silent = threading.Event()

    def ask(*_):
        silent.wait(30)
        raise OSError

    monkeypatch.setattr(network, "_SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", ask)
    start = time.monotonic()
    assert network.hub_problem() == "huggingface.co cannot be reached (it does not answer)"
    assert time.monotonic() - start < 5
    silent.set()
