"""Executes the notebook of the documentation and keeps its outputs.

python -m tools.execute_notebook

It runs in a folder of its own, which is removed at the end.
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first_steps.ipynb"
_SECONDS = 1800
"""For one cell, on a machine that has other things to do, too."""


def executed(folder: Path) -> nbformat.NotebookNode:
    """Execute every cell from top to bottom.

    Args:
        folder: Where the notebook writes its files.

    Returns:
        The notebook with the outputs of this run.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    settings = {"timeout": _SECONDS, "kernel_name": "python3", "record_timing": False}
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, resources=place, **settings).execute()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        done = executed(Path(folder))
    nbformat.write(done, NOTEBOOK)
    print(f"Written: {NOTEBOOK}, {NOTEBOOK.stat().st_size / 1e3:.0f} kB")
