"""What a test leaves on disk: one JSON file of figures, one CSV with a row a query."""

import csv
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.runs.uncertainty import bootstrap_interval

METRICS, QUERIES = "metrics.json", "queries.csv"
LEVEL = 0.95
SAME_QUERIES = ("dataset", "split", "protocol", "queries", "gallery", "unseen_classes")
"""What two tests share if their queries can be compared one by one."""
SAME_FIGURES = (*SAME_QUERIES, "definition", "backbone", "generalized", "partial")
"""What tests share if their figures may stand in one column or on one axis."""


def intervals(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Bootstrap interval over queries of each metric's mean.

    Args:
        values: Metric to one value a query; ranks are passed over.

    Returns:
        Metric to [low, high], 95 %.
    """
    return {
        name: list(bootstrap_interval(known, LEVEL))
        for name, value in values.items()
        if not name.startswith("rank")
        for known in [value[~np.isnan(value)]]
        if len(known)
    }


def by_class(
    values: Mapping[str, np.ndarray],
    labels: np.ndarray,
    class_names: Sequence[str] | Mapping[int, str],
) -> dict[str, dict[str, float]]:
    """Mean of each metric over the queries of each class, with their number.

    Args:
        values: Metric to one value a query.
        labels: Class of each query.
        class_names: Name of each label.

    Returns:
        Class to metric to value.
    """
    result: dict[str, dict[str, float]] = {}
    for label in np.unique(labels):
        rows = labels == label
        known = {name: value[rows] for name, value in values.items()}
        result[class_names[int(label)]] = {"queries": int(rows.sum())} | {
            name: float(np.nanmean(value))
            for name, value in known.items()
            if not name.startswith("rank") and not np.isnan(value).all()
        }
    return result


def write_results(
    folder: Path,
    summary: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
    labels: np.ndarray,
    paths: Sequence[str],
    class_names: Sequence[str] | Mapping[int, str],
) -> None:
    """Write both files.

    Args:
        folder: Made if missing.
        summary: Figures and protocol.
        values: Metric to one value a query.
        labels: Class of each query.
        paths: File of each query, in the order of the values.
        class_names: Name of each label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=2) + "\n"
    (folder / METRICS).write_text(text, encoding="utf-8")
    with (folder / QUERIES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "class", *values])
        for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
            cells = (value[row] for value in values.values())
            writer.writerow([path, class_names[int(label)], *(_cell(value) for value in cells)])


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def read_results(run: Path) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]]:
    """Read both files of a run folder.

    Args:
        run: The folder, or its metrics.json.

    Returns:
        Summary, query names, and metric to one value a query (NaN where it is undefined).

    Raises:
        SketchClipError: If a file is missing or is not what ``sketchclip test`` wrote.
    """
    folder = run.parent if run.name == METRICS else run
    try:
        summary = json.loads((folder / METRICS).read_text("utf-8"))
        with (folder / QUERIES).open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        columns = list(zip(*rows, strict=True))
        values = {
            name: np.array([float(cell) if cell else np.nan for cell in column])
            for name, column in zip(header[2:], columns[2:], strict=True)
        }
        return summary, list(columns[0]), values
    except (OSError, ValueError, IndexError) as error:
        raise SketchClipError(
            f"{folder} holds no results ({error}). Expected {METRICS} and {QUERIES}, as "
            "'sketchclip test' and 'sketchclip evaluate --out' write them."
        ) from error


def check_same_queries(
    folders: Sequence[Path], told: Sequence[Mapping[str, Any]], queries: Sequence[Sequence[str]]
) -> None:
    """Refuse to compare tests that are not on the same queries and gallery.

    Args:
        folders: Of the tests, for the message.
        told: Their summaries.
        queries: Names of their queries.

    Raises:
        SketchClipError: If two differ; it says in what.
    """
    for folder, summary, names in zip(folders[1:], told[1:], queries[1:], strict=True):
        for key in SAME_QUERIES:
            if told[0].get(key) != summary.get(key):
                raise SketchClipError(
                    f"The runs differ in {key} and cannot be compared: {told[0].get(key)!r:.200} "
                    f"in {folders[0]}, {summary.get(key)!r:.200} in {folder}."
                )
        if names != queries[0]:
            first = next(
                pair for pair in zip(queries[0], names, strict=False) if pair[0] != pair[1]
            )
            raise SketchClipError(
                f"The runs are not on the same queries: {first[0]} in {folders[0]}, {first[1]} in "
                f"{folder}."
            )


def read_classes(run: Path) -> list[str]:
    """Class of each query of a run folder, in the order of :func:`read_results`."""
    with (run / QUERIES).open(newline="", encoding="utf-8") as file:
        return [row["class"] for row in csv.DictReader(file)]


def file_hash(path: str | Path | None) -> str | None:
    """First 16 digits of a file's SHA-256; None without a file."""
    if path is None or not Path(path).is_file():
        return None
    digest = sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
