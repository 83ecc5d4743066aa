"""Arrays of 'sketchclip evaluate': metrics must be those of a few lines of NumPy."""

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sketchclip.cli import main
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import mutate_bytes
from tools.campaigns.observe import WrongResultError

_DTYPES = "f2 f4 f8 >f4 >f8 g i1 i2 i4 >i8 u1 u8 ? c8 U3 S3 O M8[s]".split()
_UNUSUAL = (np.nan, np.inf, -np.inf, 0.0, 1e308, 1e30, -1e30, 1e-320, 1e-30, 2.0**24)


def stored(array: np.ndarray) -> bytes:
    """The array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as a .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unusual(array: np.ndarray, chance: Random) -> tuple[np.ndarray, str]:
    """An array of another type, shape or content."""
    kind = chance.choice("dtype dtype value value rows zero shape empty order double".split())
    if kind == "dtype":
        dtype = chance.choice(_DTYPES)
        if dtype == "M8[s]":
            return array.astype(np.int64).astype(dtype), dtype
        return array.astype(dtype), dtype
    if kind == "value":
        value = chance.choice(_UNUSUAL if array.dtype.kind == "f" else (-1, 0, 2**31, 2**62, 99))
        changed = array.astype(np.int64) if array.dtype.kind in "iu" else array.copy()
        changed.flat[chance.randrange(array.size)] = value
        if chance.random() < 0.2:
            changed[:] = value
        return changed, f"a value {value}"
    if kind == "rows":
        count = chance.choice((0, 1, len(array) - 1))
        return array[:count], f"{count} rows"
    if kind == "zero":
        changed = array.copy()
        changed[chance.randrange(len(array))] = 0
        return changed, "a row of zeros"
    if kind == "shape":
        shaped = chance.choice(
            (array[None], array.ravel(), array[..., None], array[..., :0], array.T)
        )
        return shaped, f"shape {shaped.shape}"
    if kind == "empty":
        return np.zeros(chance.choice(((), (0,), (0, 8))), array.dtype), "nothing in it"
    if kind == "order":
        return np.asfortranarray(array)[::-1], "another order in memory"
    return np.concatenate([array, array]), "all rows twice"


def reference(
    sketches: np.ndarray, labels: np.ndarray, photos: np.ndarray, ids: np.ndarray, euclid: bool
) -> dict[str, float] | None:
    """Some metrics by their definitions; None where near ties leave the order open."""
    q, g = sketches.astype(np.float64), photos.astype(np.float64)
    if euclid:
        scores = -(((q[:, None] - g[None]) ** 2).sum(2) ** 0.5)
    else:
        scores = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (
            g / np.linalg.norm(g, axis=1, keepdims=True)
        ).T
    if not np.isfinite(scores).all():
        return None
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, 1)
    if ranked.shape[1] > 1 and (np.diff(-ranked) < 1e-5 * np.abs(ranked).max()).any():
        return None
    hits = labels[:, None] == ids[order]
    if not hits.any(1).all():
        return None
    rank = np.arange(1, hits.shape[1] + 1)
    precision = np.cumsum(hits, 1) / rank
    return {
        "mAP@all": float(((precision * hits).sum(1) / hits.sum(1)).mean()),
        "P@5": float((hits[:, :5].sum(1) / 5).mean()),
    }


def check_metrics(
    found: dict[str, float], files: tuple[Path, Path, Path, Path], euclid: bool
) -> None:
    """Compare metrics with the reference on what ``np.load`` gives, and refuse impossible ones."""
    states: list[Any] = []
    for array, labels in (files[:2], files[2:]):
        loaded = np.load(array)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            states += [loaded["state"], loaded["label"]]
        else:
            states += [loaded, np.load(labels)]
    for values in states:
        if values.dtype.kind not in "fiub":  # codes may be of true and false
            raise WrongResultError(f"metrics of numbers of type {values.dtype.kind}")
        if not np.isfinite(values).all():
            raise WrongResultError("metrics of numbers that are not finite")
    bad = {name: value for name, value in found.items() if not 0 <= value <= 1 + 1e-9}
    if bad:
        raise WrongResultError(f"metrics outside 0 to 1: {bad}")
    wanted = reference(*states, euclid=euclid)
    for name, value in (wanted or {}).items():
        if abs(found[name] - value) > 1e-3:
            raise WrongResultError(f"{name} is {found[name]}, and NumPy has {value}")


def evaluate(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """Two sides, as arrays with labels or as archives; one file is changed."""
    noise = np.random.default_rng(chance.randrange(2**32))
    sides = {
        name: (noise.normal(size=(n, 8)).astype(np.float32), np.arange(n) % 3)
        for name, n in (("q", 9), ("g", 21))
    }
    side, packed = chance.choice("qg"), chance.random() < 0.4
    part = chance.choice(("state", "state", "label"))
    arrays = {key: dict(zip(("state", "label"), pair, strict=True)) for key, pair in sides.items()}
    structured = chance.random() < 0.6
    done = ""
    if structured:
        arrays[side][part], done = unusual(arrays[side][part], chance)
    for key in "qg":
        (scratch / f"{key}.npz").write_bytes(archive(arrays[key]))
        for name, array in arrays[key].items():
            (scratch / f"{key}_{name}.npy").write_bytes(stored(array))
    changed = scratch / (f"{side}.npz" if packed else f"{side}_{part}.npy")
    data = changed.read_bytes()
    if not structured:
        data, done = mutate_bytes(data, chance)
    euclid = chance.random() < 0.3
    args = ["evaluate", "--precision_k", "5", "--similarity", "euclidean" if euclid else "cosine"]
    files = []
    for key, name, option in (("q", "sketches", "sketch_labels"), ("g", "photos", "photo_labels")):
        one = scratch / (f"{key}.npz" if packed else f"{key}_state.npy")
        args += [f"--{name}", str(one)]
        args += [] if packed else [f"--{option}", str(scratch / f"{key}_label.npy")]
        files += [one, scratch / f"{key}_label.npy"]

    def attempt(content: bytes) -> None:
        changed.write_bytes(content)
        check_metrics(main(args), (files[0], files[1], files[2], files[3]), euclid)

    names = [file.name for file in scratch.iterdir()]  # two that do not fit: either may be named
    what = f"{changed.suffix} {part if not packed or structured else ''} of {side}: {done}"
    return Case(f"{what}, {args[4]}", data, attempt, tuple(names))


def targets(chance: Random, _: Fixtures, scratch: Path) -> Case:
    """Rows of the own photo of each sketch, changed."""
    noise = np.random.default_rng(chance.randrange(2**32))
    q, g = (noise.normal(size=(n, 4)).astype(np.float32) for n in (6, 12))
    own = np.array([chance.randrange(-1, 4) * 3 + i % 3 if i % 2 else i for i in range(6)])
    own = np.where(own < 0, -1, own)
    for name, array in (("q", q), ("g", g), ("ql", np.arange(6) % 3), ("gl", np.arange(12) % 3)):
        np.save(scratch / f"{name}.npy", array)
    if chance.random() < 0.7:
        own, done = unusual(own, chance)
        data = stored(own)
    else:
        data, done = mutate_bytes(stored(own), chance)
    path = scratch / "own.npy"
    options = {"sketches": "q", "photos": "g", "sketch_labels": "ql", "photo_labels": "gl"}
    args = [x for key, name in options.items() for x in (f"--{key}", str(scratch / f"{name}.npy"))]

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        found = main(["evaluate", *args, "--targets", str(path)])
        rows = np.load(path)
        if rows.dtype.kind not in "iu" or rows.shape != (6,) or rows.min() < -1 or rows.max() > 11:
            raise WrongResultError(f"metrics for targets {rows.dtype} {rows.shape}")
        paired = np.flatnonzero(rows >= 0)
        order = np.argsort(
            -(q / np.linalg.norm(q, axis=1)[:, None]) @ (g.T / np.linalg.norm(g, axis=1))
        )
        first = float((order[paired, 0] == rows[paired]).mean()) if len(paired) else 0.0
        if len(paired) and abs(found.get("Acc@1_all", -1) - first) > 1e-6:
            raise WrongResultError(f"Acc@1_all is {found.get('Acc@1_all')}, and NumPy has {first}")

    return Case(done, data, attempt, (path.name,))


MAKERS: dict[str, Maker] = {"arrays": evaluate, "targets": targets}
