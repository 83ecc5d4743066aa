"""Results of a test on disk: metrics.json, and queries.csv with a row for each query."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sketchclip.errors import SketchClipError, first_line
from sketchclip.runs.uncertainty import bootstrap_interval, harmonic_interval
from sketchclip.system.outputs import all_or_none

METRICS_FILE, QUERIES = "metrics.json", "queries.csv"
FIRST_COLUMNS = ["query", "class"]
_AGAIN = "test again. Expected what 'sketchclip test' and 'evaluate --out' write."
LEVEL = 0.95
_MOST = 1 + 1e-6  # of a metric, up to rounding
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("metrics", "classes", "interval_95"), dict),
    **dict.fromkeys(("queries", "gallery", "seed", "training_classes"), int),
    **dict.fromkeys(("dataset", "split", "protocol", "definition", "method", "ranking"), str),
    "backbone": (dict, type(None)),
    "unseen_classes": list,
    "train_fraction": (int, float),
    "partial": bool,
}
"""Types of entries of metrics.json."""
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
    text = json.dumps(summary, indent=2) + "\n"
    with all_or_none(folder) as building:
        (building / METRICS_FILE).write_text(text, encoding="utf-8")
        with (building / QUERIES).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*FIRST_COLUMNS, *values])
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
    summary = read_summary(folder / METRICS_FILE)
    file = folder / QUERIES
    try:
        text = file.read_text("utf-8-sig")  # some editors put a mark in front
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        whole = [row for row in rows if len(row) == len(header)]
        # A number may be cut as well: every row ends with a line break.
        cut = bool(whole) and whole[-1] is rows[-1] and not text.endswith("\n")
        columns = list(zip(*whole, strict=True)) or [()] * len(header)
        values = {
            name: np.array([float(cell) if cell else np.nan for cell in column])
            for name, column in zip(header[2:], columns[2:], strict=True)
        }
    except (OSError, ValueError, csv.Error) as error:
        raise SketchClipError(f"{file} cannot be read ({first_line(error)}): {_AGAIN}") from error
    stated = _queries(summary)
    expected = len(rows) if stated is None else sum(stated.values())
    count = len(whole) - cut
    if len(rows) and header[:2] != FIRST_COLUMNS:
        raise SketchClipError(
            f"{file} begins with {','.join(header)!r:.80}, expected "
            f"'{','.join(FIRST_COLUMNS)},...': a table separated by commas. Put back the file that "
            "the test wrote, or test again."
        )
    if count != expected or header[:2] != FIRST_COLUMNS:
        raise SketchClipError(f"{file} has {count:,} of {expected:,} queries: {_AGAIN}")
    if len({*header}) < len(header):
        raise SketchClipError(f"{file} has the columns {', '.join(header)!r:.200}: {_AGAIN}")
    if len(rows) != count:
        raise SketchClipError(f"{file}: {len(rows) - count} rows are not whole: {_AGAIN}")
    for name, number in Counter(columns[1]).items():
        if stated is not None and number != stated.get(name, 0):
            raise SketchClipError(
                f"{file} has {number:,} queries of {name!r:.80}, and {METRICS_FILE} "
                f"{stated.get(name, 0):,}: {_AGAIN}"
            )
    for name, column in values.items():
        low, high = (1, np.inf) if name.startswith("rank") else (0, _MOST)
        odd = np.flatnonzero((column < low) | (column > high) | np.isinf(column))
        if len(odd):
            raise SketchClipError(
                f"{file}: {name} of {columns[0][odd[0]]} is {column[odd[0]]:g}, which it cannot "
                f"be: {_AGAIN}"
            )
    return summary, list(columns[0]), values


def read_summary(file: Path) -> dict[str, Any]:
    """Read metrics.json.

    Raises:
        SketchClipError: If it is missing or is not what ``sketchclip test`` wrote.
    """
    try:
        summary = json.loads(file.read_text("utf-8"))
        if not isinstance(summary, dict) or "metrics" not in summary:
            raise ValueError("no figures under 'metrics'")
        _check_types(summary)
    except FileNotFoundError as error:
        raise SketchClipError(
            f"{file.parent} holds no results. Expected {METRICS_FILE} and {QUERIES}, as "
            "'sketchclip test' and 'sketchclip evaluate --out' write them."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SketchClipError(f"{file} cannot be read ({first_line(error)}): {_AGAIN}") from error
    found: dict[str, Any] = summary
    return found


def _check_types(summary: Mapping[str, Any]) -> None:
    """Refuse entries that tables and figures cannot use; those of others may be absent."""
    for name in _TYPES.keys() & summary.keys():
        kind, value = _TYPES[name], summary[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is {value!r:.40}")
    tables = {"metrics": summary["metrics"], **summary.get("classes", {})}
    for where, table in tables.items():
        if not isinstance(table, dict):
            raise ValueError(f"the figures of {where} are {table!r:.40}")
        for name, value in table.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise ValueError(f"{name} of {where} is {value!r:.40}, no number")
            if name != "queries" and not 0 <= value <= _MOST:
                raise ValueError(f"{name} of {where} is {value:g}, expected 0 to 1")
    for name, ends in summary.get("interval_95", {}).items():
        if not (isinstance(ends, list) and len(ends) == 2 and {*map(type, ends)} <= {int, float}):
            raise ValueError(f"the interval of {name} is {ends!r:.40}, no two numbers")


def _queries(summary: Mapping[str, Any]) -> dict[str, int] | None:
    """Rows of queries.csv by class: of a test of a part of the data fewer than queries."""
    found = {name: of.get("queries") for name, of in summary.get("classes", {}).items()}
    return None if not found or None in found.values() else found


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
