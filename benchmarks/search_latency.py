"""From a sketch file to a picture of what was found, step by step, in a large index.

    python benchmarks/search_latency.py --count 1000000 --folder large
    python benchmarks/search_latency.py --count 100000 --folder small

Vectors are those of vector_engines.py, 512 wide, and every one has a photo of the embedded doodles
for its file, so that pictures can be drawn. The model is a ViT-B/32 with random weights: time does
not depend on their values. Index and model are loaded before; their time is given apart. Recall is
that of 'sketchclip search' against exact search, for queries of the kind of the vectors.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.vector_engines import QUERIES, K, batches
from data_modules import Doodles
from sketchclip.plots.search_page import search_page
from sketchclip.pretrained.model import load_model
from sketchclip.search.engine import VectorEngine
from sketchclip.search.index import VERSION, PhotoIndex
from sketchclip.search.photos import Photo
from sketchclip.search.query import read_query

WIDTH, CLASSES = 512, 100


def build(place: Path, count: int) -> None:
    """Fill an index as 'sketchclip index' would, without embedding anything."""
    files = sorted(map(str, (Doodles().catalogue.files.root / "photo").rglob("*.*")))
    engine = VectorEngine(str(place))
    engine.create(WIDTH, {"version": VERSION, "complete": True})
    scores, ids = np.empty((QUERIES, 0), np.float32), np.empty((QUERIES, 0), np.int64)
    *parts, queries = batches(count, WIDTH, 0.0)
    start, seconds = 0, 0.0
    for vectors in parts:
        rows = []
        for number in range(start, start + len(vectors)):
            photo = Photo(f"{files[number % len(files)]}#{number}", f"c{number % CLASSES}", 1, 1)
            row = {"photo": photo.id, "path": files[number % len(files)], "size": 1, "mtime": 1}
            rows.append({**row, "class_name": photo.class_name, "digest": f"{number:032x}"})
        begun = time.perf_counter()
        engine.upsert(rows, vectors)
        seconds += time.perf_counter() - begun
        new = np.broadcast_to(np.arange(start, start + len(vectors)), (QUERIES, len(vectors)))
        scores, ids = np.hstack([scores, queries @ vectors.T]), np.hstack([ids, new])
        best = np.argsort(-scores, axis=1)[:, :K]
        scores, ids = (np.take_along_axis(a, best, axis=1) for a in (scores, ids))
        start += len(vectors)
    begun = time.perf_counter()
    engine.optimise(alone=True)
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
    print(
        f"{count:,} rows written in {seconds:.0f} s, optimised and indexed in "
        f"{time.perf_counter() - begun:.0f} s, {size:,.0f} MB"
    )
    np.savez(place.with_suffix(".npz"), queries=queries, exact=ids)


def timed(step: Callable[..., Any], inputs: Any) -> tuple[list[Any], str]:
    """Results, and p50 and p95 in milliseconds, after ten that do not count."""
    results, seconds = [], []
    for value in inputs:
        start = time.perf_counter()
        results.append(step(value))
        seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(seconds[10:], (50, 95)) * 1000
    return results, f"| {p50:.1f} | {p95:.1f} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="photos (default: 100000)")
    parser.add_argument("--folder", type=Path, required=True, help="of the index; made if missing")
    parser.add_argument("--queries", type=int, default=100, help="sketches (default: 100)")
    parser.add_argument("--build", action="store_true", help="make the index and stop")
    args = parser.parse_args()
    if not args.folder.with_suffix(".npz").is_file():
        build(args.folder, args.count)
    if args.build:
        return
    start = time.perf_counter()
    model = load_model("frozen", "ViT-B-32-quickgelu", "random", "cpu")
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    index = PhotoIndex.open(str(args.folder))
    index.search(np.ones(WIDTH), 20)
    print(f"{len(index):,} photos; model in {loaded:.1f} s, index in", end=" ")
    print(f"{time.perf_counter() - start:.1f} s\n\n| step | p50 ms | p95 ms |\n|---|---|---|")
    known = np.load(args.folder.with_suffix(".npz"))
    found, told = timed(lambda q: index.search(q, K), known["queries"])
    hits = [
        len({index_of(hit.photo, index) for hit in hits} & {*exact.tolist()})
        for hits, exact in zip(found[:100], known["exact"], strict=False)
    ]
    print(f"| search, k = {K} (recall {np.mean(hits) / K:.3f}) {told}")
    print(f"| search, k = 20 {timed(lambda q: index.search(q, 20), known['queries'])[1]}")
    named = itertools.cycle([f"c{number}" for number in range(CLASSES)])
    alone = timed(lambda q: index.search(q, 20, next(named)), known["queries"][:60])[1]
    print(f"| search in one class of {CLASSES} {alone}")
    sketches = sorted((Doodles().catalogue.files.root / "sketch").rglob("*.png"))[: args.queries]
    images, told = timed(read_query, sketches)
    print(f"| read the sketch {told}")
    print(f"| embed it {timed(lambda image: model.sketches([image]), images)[1]}")

    def draw(sketch: Path) -> None:
        image = read_query(sketch)
        hits = index.search(model.sketches([image])[0], 20)
        page = search_page(image, "sketch", [(h.path, f"{h.rank}", "") for h in hits], model.name)
        page.save(args.folder.with_suffix(".png"))

    print(f"| sketch to picture of 20 photos, all steps {timed(draw, sketches)[1]}")


def index_of(photo: str, index: PhotoIndex) -> int:
    """Number of the vector that a photo has."""
    return int(index.engine.get([photo])[0]["digest"], 16)


if __name__ == "__main__":
    main()
