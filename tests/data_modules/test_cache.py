"""Folder of what can be made again."""

from pathlib import Path

import pytest

from data_modules.cache import cache_folder


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SKETCHCLIP_CACHE", "~/x", "x"),
        ("XDG_CACHE_HOME", "~/y", "y/sketchclip"),
        ("XDG_CACHE_HOME", "", ".cache/sketchclip"),
    ],
)
def test_the_home_folder_is_meant_by_a_tilde(monkeypatch, tmp_path, name, value, expected):
    monkeypatch.delenv("SKETCHCLIP_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, value)
    assert cache_folder() == Path(tmp_path, expected)
