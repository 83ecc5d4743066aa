"""Methods and data modules with the first lines of their docstrings; nothing is imported."""

import ast
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sketchclip.tables.paper import LATER, ROWS, Row

BASES = frozenset({"EncodedMethod", "RetrievalModule", "SketchPhotoDataModule"})
"""Classes of the packages that others derive from, and that no command takes."""


def methods() -> list[dict[str, Any]]:
    """List the methods, with what the row of each in the tables reports."""
    return [{**entry, **_published(entry["name"])} for entry in _classes("sketchclip.methods")]


def datasets() -> list[dict[str, Any]]:
    """List the data modules."""
    return _classes("data_modules")


def torch_classes(base: str) -> list[str]:
    """Names of PyTorch's own classes of a base, Optimizer or LRScheduler."""
    spec = find_spec("torch")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    texts = [path.read_text("utf-8") for f in folders for path in (f / "optim").glob("*.py")]
    bases = dict(re.findall(r"(?m)^class (\w+)\((\w+)\)", "\n".join(texts)))
    known = {base}
    while more := {name for name, of in bases.items() if of in known} - known:  # AdamW is an Adam
        known |= more
    return sorted(name for name in known - {base} if not name.startswith("_"))


def reported(row: Row | None) -> dict[str, float]:
    """Values of a row by dataset and metric, such as 'Sketchy mAP@200'."""
    return {} if row is None else {" ".join(column): v for column, v in row.reported.items()}


def _published(method: str) -> dict[str, Any]:
    rows = [row for row in (*ROWS, *LATER) if row.method == method and row.reported]
    row = next((row for row in rows if row.group == "ours"), rows[0] if rows else None)
    label = {} if row is None else {"label": row.label, "config": f"experiments/{row.config}"}
    return {**label, "reported": reported(row)}


def _classes(package: str) -> list[dict[str, Any]]:
    """Classes that a package's stub names, sorted, without those to derive from."""
    folder = Path(str(files(package)))
    stub = ast.parse((folder / "__init__.pyi").read_text("utf-8"))
    places = {
        alias.name: folder.joinpath(*str(node.module).split(".")).with_suffix(".py")
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names = sorted(places.keys() - BASES, key=str.casefold)
    return [{"name": name, "about": _first_line(places[name], name)} for name in names]


def _first_line(path: Path, name: str) -> str:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0].replace("``", "")
    return ""
