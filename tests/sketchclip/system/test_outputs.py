"""Folders of results: whole, or as they were."""

import pytest

from sketchclip.system.outputs import all_or_none


def fill(folder, *names):
    with all_or_none(folder) as building:
        for name in names:
            (building / name).write_text(f"new {name}")


def fail(folder, error):
    with all_or_none(folder) as building:
        (building / "x").write_text("half")
        raise error


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_replace_those_of_their_names_alone(tmp_path):
    folder = tmp_path / "a" / "b"
    fill(folder, "x", "y")
    (folder / "own").write_text("kept")
    (folder / ".partial").mkdir()
    (folder / ".partial" / "z").write_text("of a killed process")
    fill(folder, "y")
    assert content(folder) == {"x": "new x", "y": "new y", "own": "kept"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_changes_nothing(error, tmp_path):
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        with pytest.raises(error):
            fail(folder, error)
        if folder.exists():
            assert content(folder) == {"x": "new x"}
        else:
            assert not [*tmp_path.iterdir()]
            fill(folder, "x")


def test_no_file_leaves_no_folder(tmp_path):
    fill(tmp_path / "a" / "b")
    assert not [*tmp_path.iterdir()]
