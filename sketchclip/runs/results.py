"""Results of a test on disk: metrics.json, and queries.csv with a row for each query."""

import csv
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError
from sketchclip.runs.uncertainty import bootstrap_interval, harmonic_interval

METRICS_FILE, QUERIES = "metrics.json", "queries.csv"
LEVEL = 0.95
SAME_QUERIES = ("dataset", "split", "protocol", "queries", "gallery", "unseen_classes")
"""Entries that two tests share if their queries can be compared one by one."""
SAME_METRICS = (*SAME_QUERIES, "definition", "backbone", "generalized", "partial")
"""Entries that tests share if their metrics may stand in one column or on one axis."""


def intervals(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Bootstrap the 95 % interval [low, high] of each metric's mean over queries; skip ranks.

    Where a metric is there of queries of unseen and of seen classes, that of ``H_`` comes with it.
    """
    known = {
        name: value[~np.isnan(value)]
        for name, value in values.items()
        if not name.startswith("rank") and not np.isnan(value).all()
    }
    found = {name: list(bootstrap_interval(value, LEVEL)) for name, value in known.items()}
    for name in [name for name in known if f"seen_{name}" in known]:
        found[f"H_{name}"] = list(harmonic_interval(known[name], known[f"seen_{name}"], LEVEL))
    return found


def by_class(
    values: Mapping[str, np.ndarray],
    labels: np.ndarray,
    class_names: Sequence[str] | Mapping[int, str],
) -> dict[str, dict[str, float]]:
    """Average each metric, (Q,), over the queries of each class, and count them."""
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
    """Write metrics.json, and queries.csv from values, class and path of each query, (Q,)."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=2) + "\n"
    (folder / METRICS_FILE).write_text(text, encoding="utf-8")
    with (folder / QUERIES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "class", *values])
        for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
            cells = ("" if np.isnan(v[row]) else f"{v[row]:.9g}" for v in values.values())
            writer.writerow([path, class_names[int(label)], *cells])


def read_results(run: Path) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]]:
    """Read metrics.json and queries.csv of a folder.

    Returns:
        Summary, query names, and metric to one value for each query (NaN where it is undefined).

    Raises:
        SketchClipError: If a file is missing or is not what ``sketchclip test`` wrote.
    """
    folder = run.parent if run.name == METRICS_FILE else run
    try:
        summary = json.loads((folder / METRICS_FILE).read_text("utf-8"))
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
            f"{folder} holds no results ({error}). Expected {METRICS_FILE} and {QUERIES}, as "
            "'sketchclip test' and 'sketchclip evaluate --out' write them."
        ) from error


def check_same_queries(
    folders: Sequence[Path],
    summaries: Sequence[Mapping[str, Any]],
    queries: Sequence[Sequence[str]],
) -> None:
    """Refuse to compare tests that differ in queries or gallery, and say in what."""
    for folder, summary, names in zip(folders[1:], summaries[1:], queries[1:], strict=True):
        for key in SAME_QUERIES:
            one, other = summaries[0].get(key), summary.get(key)
            if one != other:
                raise SketchClipError(
                    f"The runs differ in {key} and cannot be compared: {one!r:.200} in "
                    f"{folders[0]}, {other!r:.200} in {folder}."
                )
        for one, other in zip(queries[0], names, strict=True):
            if one != other:
                raise SketchClipError(
                    f"The runs are not on the same queries: {one} in {folders[0]}, {other} in "
                    f"{folder}."
                )


def read_classes(run: Path) -> list[str]:
    """Read the class of each query of a run folder, in the order of :func:`read_results`."""
    with (run / QUERIES).open(newline="", encoding="utf-8") as file:
        return [row["class"] for row in csv.DictReader(file)]


def file_hash(path: str | Path | None) -> str | None:
    """Compute the first 16 digits of a file's SHA-256; None without a file."""
    if path is None or not Path(path).is_file():
        return None
    digest = sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
