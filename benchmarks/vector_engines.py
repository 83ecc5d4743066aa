"""Vector engines for `sketchclip index`, side by side: build, latency, recall, disk and memory.

    pip install lancedb "pymilvus[milvus-lite]" faiss-cpu
    python benchmarks/vector_engines.py --count 100000 --width 64
    python benchmarks/vector_engines.py --count 1000000 --width 512 --engines exact lancedb milvus

Every engine stores the same unit vectors and answers the same queries, each in a process of its
own: one that builds, so that peak memory is that of the build, and one that opens what was built,
warms up and answers one query after the other, for a minute at most. Recall is the share of the ten
exact neighbours among the ten that were given. For every setting of the search there is a row.
"exact" is the product with a NumPy array in memory, without an engine: its time is what the ratios
are to.

The vectors are like embeddings of photos: classes (a class a thousand vectors, at least 50) around
which the photos spread in 48 directions of falling variance, with noise in all directions. Queries
are further vectors of the same kind, or with --shift moved by one common offset, as embeddings of
sketches are against those of photos.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

K, QUERIES, WARM, LONGEST = 10, 320, 20, 60.0
BATCH, LATENT = 20_000, 48
Search = Callable[[np.ndarray], list[int]]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one, fp32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def batches(count: int, width: int, shift: float) -> Iterator[np.ndarray]:
    """The vectors in batches, then one batch of queries."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, LATENT + 1) ** -0.5
    centres = rng.standard_normal((max(50, count // 1000), LATENT)) * scale
    basis = rng.standard_normal((LATENT, width)) / np.sqrt(width)
    offset = shift * unit(rng.standard_normal((1, width)))
    for start in range(0, count + 1, BATCH):
        rows = min(BATCH, count - start) or QUERIES
        spread = rng.standard_normal((rows, LATENT)) * scale * 0.7
        noise = rng.standard_normal((rows, width)) * 0.3 / np.sqrt(width)
        vectors = (centres[rng.integers(len(centres), size=rows)] + spread) @ basis + noise
        yield unit(unit(vectors) + offset) if start == count else unit(vectors)


def write(folder: Path, count: int, width: int, shift: float) -> None:
    """Write vectors, queries and the exact neighbours of the queries."""
    parts = batches(count, width, shift)
    with (folder / "vectors.f32").open("wb") as file:
        for _ in range(0, count, BATCH):
            next(parts).tofile(file)
    queries = next(parts)
    np.save(folder / "queries.npy", queries)
    scores, ids = np.empty((QUERIES, 0), np.float32), np.empty((QUERIES, 0), np.int64)
    for start, rows in read(folder, width):
        new = np.broadcast_to(np.arange(start, start + len(rows)), (QUERIES, len(rows)))
        scores, ids = np.hstack([scores, queries @ rows.T]), np.hstack([ids, new])
        best = np.argsort(-scores, axis=1)[:, :K]
        scores, ids = (np.take_along_axis(a, best, axis=1) for a in (scores, ids))
    np.save(folder / "exact.npy", ids)


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


def peak() -> float:
    """Largest memory of this process and of those it started, in MiB."""
    own, started = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + started) / 1024


def build(name: str, folder: Path, source: Path, width: int) -> dict[str, float]:
    """Build an index in this process."""
    start = time.perf_counter()
    ENGINES[name].build(folder, source, width)
    seconds = time.perf_counter() - start
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return {"build_s": seconds, "build_mib": peak(), "disk_mb": size / 1e6}


def search(name: str, folder: Path, source: Path, width: int, at: int) -> dict[str, float]:
    """Answer the queries in this process, with one setting."""
    queries, exact = np.load(source / "queries.npy"), np.load(source / "exact.npy")
    start = time.perf_counter()
    answer = ENGINES[name].searcher(folder, width, **ENGINES[name].settings[at])
    answer(queries[0])
    first = time.perf_counter() - start
    for query in queries[:WARM]:
        answer(query)
    seconds, found = list[float](), list[list[int]]()
    for query in queries[WARM:]:
        start = time.perf_counter()
        found.append(answer(query))
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > LONGEST:
            break
    hits = [len({*a} & {*b.tolist()}) for a, b in zip(found, exact[WARM:], strict=False)]
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    recall = float(np.mean(hits)) / K
    return {"p50": p50, "p95": p95, "recall": recall, "first_s": first, "search_mib": peak()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="vectors (default: 100000)")
    parser.add_argument("--width", type=int, default=64, help="of a vector (default: 64)")
    parser.add_argument("--shift", type=float, default=0.0, help="of the queries (default: 0)")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--folder", type=Path, help="keep data and indexes there, and reuse them")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    if args.step:
        (name, step), place = args.step, folder / args.step[0].replace(" ", "_")
        if step == "write":
            write(folder, args.count, args.width, args.shift)
            print("{}")
        elif step == "build":
            print(json.dumps(build(name, place, folder, args.width)))
        else:
            print(json.dumps(search(name, place, folder, args.width, int(step))))
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "exact.npy").is_file():
        step_of(args, folder, "vectors", "write")
    print(f"{args.count:,} vectors x {args.width}, queries shifted by {args.shift}\n")
    print("| engine | search | build s | build MiB | disk MB | open s | search MiB ", end="")
    print("| p50 ms | x exact | p95 ms | recall@10 |\n|" + "---|" * 11, flush=True)
    floor = None
    for name in args.engines:
        place = folder / name.replace(" ", "_")
        built_file = place.with_suffix(".json")
        if not built_file.is_file():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            outcome = step_of(args, folder, name, "build")
            if outcome is None:
                continue
            built_file.write_text(json.dumps(outcome), "utf-8")
        built = json.loads(built_file.read_text("utf-8"))
        for at, setting in enumerate(ENGINES[name].settings):
            row = step_of(args, folder, name, str(at))
            if row is None:
                continue
            floor = floor or row["p50"]
            told = ", ".join(f"{key} {value}" for key, value in setting.items())
            print(
                f"| {name} | {told} | {built['build_s']:.0f} | {built['build_mib']:,.0f} "
                f"| {built['disk_mb']:,.0f} | {row['first_s']:.1f} | {row['search_mib']:,.0f} "
                f"| {row['p50']:.2f} | {row['p50'] / floor:.3f} | {row['p95']:.2f} "
                f"| {row['recall']:.3f} |",
                flush=True,
            )
    if not args.folder:
        shutil.rmtree(folder)


def step_of(args: argparse.Namespace, folder: Path, name: str, step: str) -> dict[str, Any] | None:
    """Run a step in a process of its own; None, and a line on stderr, if it fails."""
    command = [sys.executable, __file__, "--folder", str(folder), "--step", name, step]
    for option in ("count", "width", "shift"):
        command += [f"--{option}", str(getattr(args, option))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{name}, {step}: status {done.returncode}: {last}", file=sys.stderr, flush=True)
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
