"""Vector engines for `sketchclip index`, side by side: build, latency, recall, disk and memory.

    pip install lancedb "pymilvus[milvus-lite]" faiss-cpu
    python benchmarks/vector_engines.py --count 100000 --width 64
    python benchmarks/vector_engines.py --count 1000000 --width 512 --engines exact "lancedb IVF_RQ"

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_candidates import BATCH, ENGINES, K, read

QUERIES, WARM, LONGEST, LATENT = 320, 20, 60.0, 48


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
    for start in [*range(0, count, BATCH), count]:
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
    known = (folder / "exact.npy").is_file()
    if not known and step_of(args, folder, "vectors", "write") is None:
        raise SystemExit(1)
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
