"""Columns of the photos in an index, as Arrow tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("photo", "path", "class_name", "size", "mtime", "digest")


def photo_schema(width: int, state_width: int) -> "pa.Schema":
    """Schema of the photos.

    Args:
        width: Width of the vectors.
        state_width: Width of the states; 0 for none.
    """
    import pyarrow as pa

    kinds = {"size": pa.int64(), "mtime": pa.int64()}
    fields = [
        pa.field(name, kinds.get(name, pa.string()), nullable=name == "class_name")
        for name in COLUMNS
    ]
    for name, number in (("vector", width), ("state", state_width)):
        if number:
            fields.append(pa.field(name, pa.list_(pa.float32(), number), nullable=False))
    return pa.schema(fields)


def photo_table(
    rows: Sequence[dict[str, Any]], vectors: np.ndarray, states: np.ndarray | None
) -> "pa.Table":
    """Table of photos; see :meth:`~sketchclip.search.engine.VectorEngine.upsert`."""
    import pyarrow as pa

    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    for name, values in (("vector", vectors), ("state", states)):
        if values is not None:
            flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    schema = photo_schema(vectors.shape[1], 0 if states is None else states.shape[1])
    return pa.table(columns, schema=schema)


def numbers(column: "pa.ChunkedArray") -> np.ndarray:
    """Vectors or states of a column, fp32, (N, width)."""
    parts = [np.zeros(0, np.float32), *(part.flatten().to_numpy() for part in column.chunks)]
    return np.concatenate(parts).reshape(-1, column.type.list_size)
