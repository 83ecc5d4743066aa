"""Kill 'sketchclip index' at random points, go on, and compare with an index that nobody killed.

    python benchmarks/index_resume.py --photos 2000 --kills 5
    python benchmarks/index_resume.py --photos 100000 --kills 20 --tiny

Photos are the 1,170 of the embedded doodles, and variants of them in other colours and places, as
JPEGs in one folder a class. The first index is made in one run. The second is killed with SIGKILL,
each time after a random share of what the first took, and started again. Then some photos are
removed, changed and renamed, and both are updated, the second with kills. After each of the two
phases ids, states and vectors of both indexes are compared.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import lance_namespace  # noqa: F401  # with pyarrow most of the engine's import; starts no thread
import numpy as np
import pyarrow  # noqa: F401

from sketchclip.pretrained.model import SearchModel, load_model
from sketchclip.search.update import index_photos

PHASES = ("index", "update")
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


def tiny_model() -> SearchModel:
    """A CLIP with random weights, many times as fast as the mini: only bookkeeping is tested."""
    import open_clip
    import torch

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "index-resume.json").write_text(json.dumps(TINY), "utf-8")
        open_clip.add_model_config(folder)
    torch.manual_seed(0)
    return load_model("frozen", "index-resume", "random", "cpu")


def make_photos(folder: Path, count: int) -> None:
    """Write the photos of the doodles, then variants of them."""
    from PIL import Image

    from data_modules import Doodles

    sources = sorted((Doodles().catalogue.files.root / "photo").rglob("*.*"))
    rng = np.random.default_rng(0)
    for number in range(count):
        source = sources[number % len(sources)]
        target = folder / source.parent.name / f"{number:06d}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        if number < len(sources):
            shutil.copyfile(source, target)
            continue
        with Image.open(source) as image:
            rgba = image.convert("RGBA").resize((64, 64))
        page = Image.new("RGB", rgba.size, tuple(int(v) for v in rng.integers(120, 256, 3)))
        page.paste(rgba, tuple(int(v) for v in rng.integers(-8, 9, 2)), rgba)
        hue, *others = page.convert("HSV").split()
        turned = hue.point([int(v) for v in (np.arange(256) + rng.integers(256)) % 256])
        recoloured = Image.merge("HSV", (turned, *others)).convert("RGB")
        recoloured.save(target.with_suffix(".jpg"), quality=85)


def in_child(photos: Path, place: Path, model: SearchModel, every: float, kill: float) -> float:
    """Index in a process of its own, which is killed after some seconds.

    Returns:
        Seconds that it took; 0 if it was killed.
    """
    start = time.monotonic()
    # The engine is loaded in the child alone; its threads would not survive a fork.
    if (child := os.fork()) == 0:
        status = 1
        try:
            index_photos([photos], model, str(place), commit_every=every, progress=False)
            status = 0
        finally:
            os._exit(status)
    while time.monotonic() - start < kill:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"A run ended with status {status}.")
            return time.monotonic() - start
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 0.0


def killed(
    photos: Path,
    place: Path,
    model: SearchModel,
    every: float,
    kills: int,
    seconds: float,
    seed: int,
) -> int:
    """Index with kills; returns how many met a run at work."""
    rng, met = np.random.default_rng(seed), 0
    for _ in range(kills):
        # Twice the mean, so that the kills together last about as long as the work.
        at = rng.uniform(0, 2 * seconds / kills)
        if not in_child(photos, place, model, every, at):
            met += 1
    in_child(photos, place, model, every, np.inf)
    return met


def change(folder: Path, count: int) -> None:
    """Remove, change and rename so many photos each."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    step = len(files) // (3 * count)
    for number in range(count):
        gone, changed, renamed = files[3 * number * step :: step][:3]
        gone.unlink()
        changed.write_bytes(files[-1 - number].read_bytes())
        renamed.rename(renamed.with_name(f"renamed-{renamed.name}"))


def content(place: Path) -> dict[str, tuple[Any, ...]]:
    """What an index holds, by id; raises if an id is there twice."""
    from sketchclip.search.columns import COLUMNS
    from sketchclip.search.engine import VectorEngine

    engine = VectorEngine(str(place))
    rows = engine.scan(*COLUMNS, "vector")
    states = zip(*(rows[name] for name in (*COLUMNS, "vector")), strict=True)
    found = {state[0]: state[1:] for state in states}
    assert len(found) == len(rows["photo"]) == len(engine), "photos are there twice"
    assert engine.about["complete"]
    return found


def compare(whole: Path, resumed: Path, photos: Path) -> float:
    """Largest difference of two vectors; raises if ids or states differ, or photos are missing."""
    a, b = content(whole), content(resumed)
    files = {str(path) for path in photos.rglob("*") if path.is_file()}
    assert {state[0] for state in a.values()} == files, "the index does not hold the files"
    assert a.keys() == b.keys(), "ids differ"
    assert all(a[id][:-1] == b[id][:-1] for id in a), "states differ"
    vectors = [np.array([index[id][-1] for id in a], np.float32) for index in (a, b)]
    return float(np.abs(vectors[0] - vectors[1]).max())


def run(folder: Path, args: argparse.Namespace) -> None:
    """Make, kill, compare; prints a line a phase."""
    import torch

    torch.set_num_threads(1)  # OpenMP's threads would not survive a fork, and the child would wait
    kills, every = args.kills, args.commit_every
    model = tiny_model() if args.tiny else load_model("frozen", "sketchclip-mini", device="cpu")
    pictures, whole, resumed = folder / "photos", folder / "whole", folder / "resumed"
    if not pictures.is_dir():
        make_photos(pictures, args.photos)
    for phase in args.phases:
        if phase == "update":
            change(pictures, kills)
        took = in_child(pictures, whole, model, every, np.inf)
        start = time.monotonic()
        met = killed(pictures, resumed, model, every, kills, took, args.seed)
        seconds = time.monotonic() - start
        # In a child, as the engine must not be loaded where runs are forked.
        print(
            f"{phase}: {took:.1f} s in one run; {seconds:.1f} s with {kills} kills, {met} of them "
            f"while it worked; {compared(whole, resumed, pictures)}",
            flush=True,
        )


def compared(whole: Path, resumed: Path, photos: Path) -> str:
    """The outcome of :func:`compare`, made in a process of its own."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        status = 1
        try:
            difference = compare(whole, resumed, photos)
            os.write(writer, f"same ids and states, vectors within {difference:g}".encode())
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit("The indexes differ.")
    return os.read(reader, 1000).decode()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--commit-every", type=float, default=15.0, help="seconds (default: 15)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--tiny", action="store_true", help="a tiny CLIP with random weights")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--folder", type=Path, help="keep everything there")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    run(folder, args)
    if not args.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
