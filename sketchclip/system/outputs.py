"""Files that a command writes into a folder: all of them, or none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BUILDING = ".partial"


@contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """Yield an empty folder whose files move into another one at the end.

    If something fails before, what the other folder held stays as it was, and it goes again if it
    was made for this. What a killed process has left goes with the next.

    Args:
        folder: Where the files go; made if missing.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    building = folder / _BUILDING
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        yield building
        for file in building.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        with suppress(OSError):  # a folder that holds something stays
            for place in made:
                place.rmdir()
