"""The version of the code that a run used."""

import subprocess
from pathlib import Path


def commit() -> str | None:
    """Git commit of the code, with ``+`` where files differ from it; None outside a repository."""
    folder = Path(__file__).parents[2]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True
        )
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "."],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
