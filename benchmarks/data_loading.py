"""Images per second of the official Sketch_LVM loader and of ours, on the same files.

    python benchmarks/data_loading.py --root DATA --workers 2 --batch 64

DATA is any folder that SketchPhotoFolder reads; without --root, sketches (256 x 256, PNG) and
photos (500 x 375, JPEG) are generated. All loaders read the same training classes with the same
batch size and number of workers, in turns, several times; medians are reported. A turn is the
second epoch of a new loader, as most epochs of a training run are not the first. Every file is read
before, so all of them come out of the page cache and the disk plays no part. "Files" means decoded
from the files; "prepared" means from a folder of 'sketchclip data prepare'. Processor time is given
beside the rate: on a machine that does something else too, it is the fairer measure.

The official loader is written out from its description (Sain et al., "CLIP for All Things Zero-Shot
Sketch-Based Image Retrieval", CVPR 2023; github.com/aneeshan95/Sketch_LVM, dataset_retrieval.py):
three images a sample, each opened with PIL, made RGB, padded to the square with ImageOps.pad, then
Resize, ToTensor and Normalize, batched by PyTorch's own collate. Ours runs through the data module
up to the same fp32 batch; as normalizing is the device's work in a training run, the rate without
it is reported beside.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from data_modules import SketchPhotoFolder
from data_modules.prepared.prepare import prepare
from data_modules.transforms import Fit

SIZE = 224

Run = tuple[Callable[[], DataLoader], Callable[[Any], Any] | None]
"""What makes a loader, and what is done with each batch of it."""


class OfficialTriplets(Dataset):
    """The official dataset: a sketch, a photo of its class, a photo of any class.

    Args:
        sketches: Class name to sketches.
        photos: Class name to photos.
    """

    def __init__(
        self, sketches: Mapping[str, Sequence[Path]], photos: Mapping[str, Sequence[Path]]
    ) -> None:
        from torchvision import transforms as T

        self.items = [(str(path), name) for name, paths in sketches.items() for path in paths]
        self.classes = list(photos)
        self.photos = {name: list(map(str, paths)) for name, paths in photos.items()}
        self.transform = T.Compose(
            [
                T.Resize((SIZE, SIZE)),
                T.ToTensor(),
                T.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        """Number of sketches."""
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, str, str]:
        """One sample, with the names that the official dataset adds."""
        sketch, name = self.items[index]
        other = self.classes[np.random.randint(len(self.classes))]
        positive, negative = (
            self.photos[c][np.random.randint(len(self.photos[c]))] for c in (name, other)
        )
        images = [self.read(path) for path in (sketch, positive, negative)]
        return images[0], images[1], images[2], name, os.path.basename(sketch)

    def read(self, path: str) -> Tensor:
        """fp32, (3, 224, 224)."""
        image = Image.open(path).convert("RGB")
        return self.transform(ImageOps.pad(image, (SIZE, SIZE)))


def main() -> None:
    """Run the comparison."""
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root or generate(Path(scratch) / "data", options.classes, options.photo)
        modules = {
            kind: SketchPhotoFolder(
                root=str(root),
                split="random:2:0",
                validation="none",
                batch_size=options.batch,
                num_workers=options.workers,
                prepared=str(options.prepared or Path(scratch) / "prepared") if kind else None,
                # As the official code pads, and normalizes by the same constants.
                resize="letterbox_black",
                normalization="imagenet",
            )
            for kind in ("", "prepared")
        }
        files = modules[""]
        sketches, photos = files.catalogue.training[0], files.catalogue.training[1]
        paths = [p for side in (sketches, photos) for group in side.values() for p in group]
        size = sum(len(path.read_bytes()) for path in paths)  # into the page cache
        fit = Fit(SIZE, "letterbox_black")
        summary = prepare(
            paths, root, Path(modules["prepared"].hparams["prepared"] or ""), fit, options.workers
        )
        print(f"{len(paths)} files, {size / 1e6:.0f} MB; {summary}", file=sys.stderr)

        official = DataLoader(
            OfficialTriplets(sketches, photos),
            batch_size=options.batch,
            num_workers=options.workers,
        )
        # A new loader for each turn: idle workers of another one would count as memory.
        runs: dict[str, Run] = {"official": (lambda: official, None)}
        for kind, module in modules.items():
            name = f"ours, {kind or 'files'}"
            runs[name] = (module.train_dataloader, module.normalize)
            runs[f"{name}, normalized elsewhere"] = (module.train_dataloader, None)
        results = measure(runs, options.batch * 3, options.workers, options.repeats)
    report(results, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare data loading with the official code.")
    parser.add_argument("--root", type=Path, help="dataset; generated if left out")
    parser.add_argument("--prepared", type=Path, help="folder of prepared images; else temporary")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64, help="triplets in a batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--classes", type=int, default=24, help="of the generated dataset")
    parser.add_argument(
        "--photo", type=int, default=500, help="longer side of the generated photos in pixels"
    )
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    return parser.parse_args()


def generate(root: Path, classes: int, photo: int, each: int = 64) -> Path:
    """Write sketches and photos whose files are about as large as real ones.

    Args:
        root: New folder.
        classes: Number of classes.
        photo: Longer side of the photos in pixels.
        each: Number of sketches and of photos in a class.
    """
    rng = np.random.default_rng(0)
    for number in range(classes * each):
        name, index = f"class {number // each}", number % each
        for side in ("sketch", "photo"):
            (root / side / name).mkdir(parents=True, exist_ok=True)
        sketch = Image.new("L", (256, 256), 255)
        for _ in range(12):
            points = np.cumsum(rng.normal(0, 12, (20, 2)), axis=0) + rng.uniform(60, 200, 2)
            ImageDraw.Draw(sketch).line([tuple(p) for p in points], fill=0, width=2)
        sketch.convert("RGB").save(root / "sketch" / name / f"{index}.png")
        # Noise of several scales has about the spectrum of photos, so JPEG files of their size.
        pixels = np.zeros((photo * 3 // 4, photo, 3))
        for scale in (4, 16, 64, 256):
            noise = rng.integers(0, 256, (max(2, scale * 3 // 4), scale, 3), dtype=np.uint8)
            layer = Image.fromarray(noise).resize((photo, photo * 3 // 4), Image.Resampling.BICUBIC)
            pixels += np.asarray(layer) / scale**0.8
        pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(root / "photo" / name / f"{index}.jpg", quality=90)
    return root


@dataclass
class Result:
    """Of one loader: images per second and processor time (ms an image) of each turn, peak MiB."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    peak: float = 0.0


def measure(runs: Mapping[str, Run], images: int, workers: int, repeats: int) -> dict[str, Result]:
    """Measure loaders in turns.

    Args:
        runs: By name.
        images: Images in a full batch.
        workers: Loader processes.
        repeats: Turns of each loader.
    """
    results = {name: Result() for name in runs}
    for repeat in range(repeats):
        # Back and forth, so that a machine that slows down does it to all alike.
        for name in list(runs) if repeat % 2 == 0 else reversed(list(runs)):
            with peak_memory() as peak:
                rate, cost = _turn(*runs[name], workers)
            result = results[name]
            result.rates.append(rate * images)
            result.costs.append(cost / images * 1000)
            result.peak = max(result.peak, peak[0])
            print(f"{name}: {rate * images:.0f} images/s", file=sys.stderr)
    return results


def _turn(
    make: Callable[[], DataLoader], use: Callable[[Any], Any] | None, workers: int
) -> tuple[float, float]:
    """Batches per second and processor seconds a batch, in the second epoch.

    The first round of the workers, which start meanwhile, is left out, and so is the last batch,
    which may be smaller.
    """
    loader = make()
    for epoch in range(2):
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(epoch)
        marks = []
        for batch in loader:
            if use is not None:
                batch = use(batch)
            marks.append((time.perf_counter(), _processor_time()))
            del batch
    first, last = marks[max(1, workers) - 1], marks[-2]
    count = len(marks) - 1 - max(1, workers)
    if count < 4:
        raise SystemExit(f"{len(marks)} batches are too few to measure: lower --batch.")
    return count / (last[0] - first[0]), (last[1] - first[1]) / count


@contextmanager
def peak_memory(every: float = 0.2) -> Iterator[list[float]]:
    """Largest memory of this process and its children in MiB, without the page cache.

    Anonymous and shared memory, shared pages counted once. Zero where the system has no /proc.
    """
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], sum(map(_memory, _processes())))
            if ended.wait(every):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _processes() -> list[int]:
    own = os.getpid()
    try:
        children = Path(f"/proc/{own}/task").glob("*/children")
        return [own, *(int(pid) for path in children for pid in path.read_text().split())]
    except OSError:
        return [own]


def _processor_time() -> float:
    """Seconds of processor time that this process and its children have used."""
    total = time.process_time()
    for pid in _processes()[1:]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    wanted = ("Pss_Anon:", "Pss_Shmem:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(wanted)) / 1024


def report(results: Mapping[str, Result], options: argparse.Namespace) -> None:
    """Print the table; write the numbers if asked."""
    median = statistics.median
    official = results["official"]
    base, base_cost = median(official.rates), median(official.costs)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{options.root or 'generated data'}; {cores} cores, {options.workers} workers, batches of "
        f"{options.batch} triplets, medians of {options.repeats} epochs, files in the page cache, "
        f"torch {torch.__version__}\n"
    )
    print("| loader | images/s | lowest to highest | x official | CPU ms/image | x | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, result in results.items():
        rate, cost = median(result.rates), median(result.costs)
        print(
            f"| {name} | {rate:,.0f} | {min(result.rates):,.0f} to {max(result.rates):,.0f} | "
            f"{rate / base:.2f} | {cost:.2f} | {base_cost / cost:.2f} | {result.peak:,.0f} |"
        )
    if options.json:
        settings = {"cores": cores, **{name: str(value) for name, value in vars(options).items()}}
        rows = {name: vars(result) for name, result in results.items()}
        options.json.write_text(json.dumps({"settings": settings, "results": rows}, indent=1))


if __name__ == "__main__":
    main()
