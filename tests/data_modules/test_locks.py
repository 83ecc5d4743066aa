"""A lock leaves nothing behind where nothing came of its work."""

from contextlib import suppress

import pytest

from data_modules.locks import locked


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_folder_made_for_nothing_goes_again(tmp_path, error):
    with suppress(error), locked(tmp_path / "a" / "b" / "lock", "a test"):
        raise error
    assert not [*tmp_path.iterdir()]


def test_what_was_written_stays_and_what_was_there(tmp_path):
    with suppress(OSError), locked(tmp_path / "a" / "lock", "a test"):
        (tmp_path / "a" / "table").touch()
        raise OSError
    (tmp_path / "b").mkdir()
    with suppress(OSError), locked(tmp_path / "b" / "lock", "a test"):
        raise OSError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "lock", "lock", "table"]
