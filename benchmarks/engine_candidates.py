"""What vector_engines.py compares: NumPy, LanceDB and Milvus Lite, each with its kinds of index."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

K, BATCH = 10, 20_000
Search = Callable[[np.ndarray], list[int]]


def read(folder: Path, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """The vectors again, in batches with the number of the first: few are in memory at a time."""
    start = 0
    with (folder / "vectors.f32").open("rb") as file:
        while len(rows := np.fromfile(file, np.float32, BATCH * width)):
            yield start, rows.reshape(-1, width)
            start += len(rows) // width


class Exact:
    """All products with an array in memory."""

    settings: tuple[dict[str, Any], ...] = ({},)

    def build(self, folder: Path, source: Path, width: int) -> None:
        """Nothing: the vectors are the index."""
        shutil.copy(source / "vectors.f32", folder / "vectors.f32")

    def searcher(self, folder: Path, width: int, **_: Any) -> Search:
        """Product, then the best ten in order."""
        rows = np.fromfile(folder / "vectors.f32", np.float32).reshape(-1, width)

        def search(query: np.ndarray) -> list[int]:
            scores = rows @ query
            best = np.argpartition(-scores, K)[:K]
            return best[np.argsort(-scores[best])].tolist()

        return search


class Lance:
    """LanceDB with one kind of index.

    Args:
        kind: Of the index; empty for none.
        settings: Of the search, each a row.
        options: Of the index.
    """

    def __init__(self, kind: str, *settings: dict[str, Any], **options: Any) -> None:
        self.kind, self.options = kind, options
        self.settings = settings or ({},)

    def build(self, folder: Path, source: Path, width: int) -> None:
        """Store, compact, index."""
        import lancedb
        import pyarrow as pa

        kind = pa.list_(pa.float32(), width)
        schema = pa.schema([("id", pa.int64()), ("vector", kind)])
        table = lancedb.connect(folder).create_table("photos", schema=schema)
        for start, rows in read(source, width):
            ids = pa.array(np.arange(start, start + len(rows)))
            vectors = pa.FixedSizeListArray.from_arrays(rows.ravel(), width)
            table.add(pa.table([ids, vectors], schema=schema))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keeping no older version
            table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        if self.kind:
            from lancedb import index

            config = getattr(index, self.kind)(distance_type="dot", **self.options)
            table.create_index("vector", config=config)

    def searcher(self, folder: Path, width: int, **setting: Any) -> Search:
        """One query at a time, ids alone."""
        import lancedb

        table = lancedb.connect(folder).open_table("photos")

        def search(query: np.ndarray) -> list[int]:
            builder = table.search(query).distance_type("dot").limit(K).select(["id", "_distance"])
            for name, value in setting.items():
                builder = getattr(builder, name)(value)
            return builder.to_arrow()["id"].to_pylist()

        return search


class Milvus:
    """Milvus Lite with one kind of index.

    Args:
        kind: Of the index.
        settings: Of the search, each a row.
        params: Of the index.
    """

    def __init__(self, kind: str, *settings: dict[str, Any], **params: Any) -> None:
        self.kind, self.params = kind, params
        self.settings = settings or ({},)

    def build(self, folder: Path, source: Path, width: int) -> None:
        """Store, index, write out."""
        from pymilvus import DataType, MilvusClient

        client = MilvusClient(str(folder / "photos.db"))
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
        client.create_collection("photos", schema=schema)
        for start, rows in read(source, width):
            for part in range(0, len(rows), 5000):  # a message is limited to 64 MB
                some = rows[part : part + 5000]
                new = [{"id": start + part + i, "vector": row} for i, row in enumerate(some)]
                client.insert("photos", new)
        client.flush("photos")
        index = client.prepare_index_params()
        index.add_index("vector", index_type=self.kind, metric_type="IP", params=self.params)
        client.create_index("photos", index)
        client.load_collection("photos")
        client.close()

    def searcher(self, folder: Path, width: int, **setting: Any) -> Search:
        """One query at a time, ids alone."""
        from pymilvus import MilvusClient

        client = MilvusClient(str(folder / "photos.db"))
        client.load_collection("photos")
        params = {"metric_type": "IP", "params": setting}

        def search(query: np.ndarray) -> list[int]:
            (hits,) = client.search("photos", data=[query], limit=K, search_params=params)
            return [hit["id"] for hit in hits]

        return search


ENGINES: dict[str, Any] = {
    "exact": Exact(),
    "lancedb": Lance(""),
    "lancedb IVF_PQ": Lance(
        "IvfPq", *({"nprobes": n, "refine_factor": r} for n in (10, 20, 40) for r in (5, 20))
    ),
    "lancedb IVF_RQ": Lance(
        "IvfRq", *({"nprobes": n, "refine_factor": r} for n in (10, 20, 40) for r in (5, 10, 20))
    ),
    "lancedb IVF_RQ 4 bit": Lance(
        "IvfRq", *({"nprobes": 20, "refine_factor": r} for r in (5, 10)), num_bits=4
    ),
    "lancedb IVF_SQ": Lance("IvfSq", *({"nprobes": n} for n in (10, 20, 40))),
    "lancedb IVF_HNSW_SQ": Lance(
        "IvfHnswSq",
        *({"nprobes": n, "ef": e, "refine_factor": 2} for n in (2, 5, 10) for e in (32, 100)),
    ),
    "milvus FLAT": Milvus("FLAT"),
    "milvus IVF_FLAT": Milvus("IVF_FLAT", *({"nprobe": n} for n in (8, 32)), nlist=1024),
    "milvus IVF_SQ8": Milvus("IVF_SQ8", *({"nprobe": n} for n in (8, 32)), nlist=1024),
    "milvus HNSW": Milvus("HNSW", *({"ef": e} for e in (16, 64, 256)), M=16, efConstruction=100),
    "milvus HNSW_SQ": Milvus(
        "HNSW_SQ", *({"ef": e} for e in (16, 64, 256)), M=16, efConstruction=100
    ),
}
