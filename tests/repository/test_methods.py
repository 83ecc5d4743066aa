"""Method files: short, and composed of shared parts in place of copies of one another."""

from itertools import combinations
from pathlib import Path

from tests.helpers.paths import REPOSITORY

FOLDER = REPOSITORY / "sketchclip" / "methods"
# Packages list their methods.
FILES = sorted(path for path in FOLDER.rglob("*.py") if path.name != "__init__.py")
SYSTEMS = [path for path in FILES if path.parent.name in ("earlier", "later")]


def runs(path: Path, length: int) -> set[tuple[str, ...]]:
    """All runs of that many lines that are not empty."""
    lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    return {tuple(lines[at : at + length]) for at in range(len(lines) - length + 1)}


def test_a_method_has_at_most_200_lines() -> None:
    assert len(SYSTEMS) > 5
    assert [p.name for p in SYSTEMS if len(p.read_text("utf-8").splitlines()) > 200] == []


def test_no_two_methods_share_nine_lines() -> None:
    found = {path: runs(path, 9) for path in FILES}
    shared = [(a.name, b.name, *(found[a] & found[b])) for a, b in combinations(FILES, 2)]
    assert [names for names in shared if len(names) > 2] == []
