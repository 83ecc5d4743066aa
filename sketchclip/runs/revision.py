"""Git commit of the code that a run used."""

import subprocess
from pathlib import Path


def commit() -> str | None:
    """Read the commit, with ``+`` where files differ from it; None outside a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(*args: str) -> str:
    command, folder = ["git", *args], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
