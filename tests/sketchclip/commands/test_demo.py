"""The command: ports, names, and what it says when something is wrong."""

import socket

import pytest

from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.search.demo import serving


@pytest.fixture
def told(capsys):
    """The one message with which a command ends."""

    def told(*args):
        with pytest.raises(SystemExit) as stop:
            main(["demo", *args])
        assert stop.value.code == 2
        return capsys.readouterr().err

    return told


@pytest.fixture
def used():
    """A port that somebody listens on."""
    with socket.create_server((serving.LOCAL, 0)) as server:
        yield server.getsockname()[1]


def test_what_cannot_be_is_told(told, used, tmp_path):
    assert "an index knows its model" in told("--index", "a", "--model", "frozen")
    assert "--index: expected one or two, got 3" in told("--index", "a", "b", "c")
    assert f"Port {used} of 127.0.0.1 is in use" in told("--port", str(used))
    assert "--port: expected 0 to 65535, found 70000" in told("--port", "70000")
    missing = str(tmp_path / "none")
    assert f"no index at {missing}" in told("--index", missing, "--port", "0")
    assert "See sketchclip demo --help" in told("--colour", "red")


def test_an_unknown_address_is_told(told, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "Cannot listen on nowhere:7860 (Name or service not known)" in told("--host", "nowhere")


def test_the_next_free_port_is_taken(used, monkeypatch):
    monkeypatch.setattr(serving, "PORT", used)
    with serving.bind(serving.LOCAL, None) as taken:
        assert used < taken.getsockname()[1] < used + 20
    monkeypatch.setattr(serving, "_TRIES", 1)
    with pytest.raises(SketchClipError, match="are all in use"):
        serving.bind(serving.LOCAL, None)


def test_names_of_this_machine_are_taken(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Studio")
    local = serving.allowed_hosts("127.0.0.1", [])
    assert local == {"localhost", "127.0.0.1", "::1"}
    assert serving.allowed_hosts("0.0.0.0", ["Draw.example"]) == {
        *(*local, "0.0.0.0", "studio", "draw.example")
    }
    with pytest.raises(SketchClipError, match=r"--allow-host \*\.example"):
        serving.allowed_hosts("0.0.0.0", ["*.example"])  # the middleware would take a pattern


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_address_is_printed_and_others_are_warned_of(host, monkeypatch, capsys, recwarn):
    monkeypatch.setattr(serving.uvicorn.Server, "run", lambda self, sockets: None)
    with serving.bind(host, 0) as taken:
        serving.serve(lambda: None, taken, serving.Limits(), browser=True)
        port = taken.getsockname()[1]
    local = host == "127.0.0.1"
    warned = [str(warning.message) for warning in recwarn]
    assert ["reachable from other machines" in message for message in warned] == [True] * (
        not local
    )
    shown = host if local else socket.gethostname()
    assert f"Draw at http://{shown}:{port}/" in capsys.readouterr().out


def test_the_small_clip_on_photos_of_ones_own_is_warned_of(
    tree, tiny_weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(serving, "serve", lambda app, taken, limits, browser: taken.close())
    models = {"mini": ["sketchclip-mini"], "tiny": ["tiny", "--pretrained", str(tiny_weights)]}
    places = {name: str(tmp_path / name) for name in models}

    def warnings(*args):
        main([*args])
        return [x for x in capsys.readouterr().err.splitlines() if x.startswith("Warning: ")]

    photos = str(tree / "photo")
    found = {
        name: warnings("index", photos, "-o", places[name], "--backbone", *backbone)
        for name, backbone in models.items()
    }
    (told,) = found["mini"]
    assert "frozen sketchclip-mini" in told
    assert "which finds little in photos" in told
    assert found["tiny"] == []
    assert warnings("demo", "--index", places["tiny"], "--port", "0") == []
    assert warnings("demo", "--index", *places.values(), "--port", "0") == [told]
