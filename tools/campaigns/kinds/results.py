"""Folders of runs and of indexes with one file changed."""

import csv
import io
import json
import math
import shutil
import warnings
from pathlib import Path
from random import Random

import numpy as np

from data_modules.prepared.reader import FileReader, open_reader
from data_modules.transforms import Fit
from sketchclip.cli import main
from sketchclip.runs.results import read_results
from tools.campaigns.kinds.arrays import archive, unusual
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import mutate_bytes, mutate_tree, reencode
from tools.campaigns.observe import WrongResultError

_FIT = Fit(32, "letterbox", "bicubic")
_FILES = ("metrics.json", "queries.csv", "rankings.npz", "config.yaml", "cost.json", "metrics.csv")


def run_folder(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """A run with its test, read by compare, table, show or plot."""
    run = scratch / "run"
    shutil.copytree(fixtures.run, run, ignore=shutil.ignore_patterns("exported", "grids", "*.ckpt"))
    command = chance.choice("compare compare table table show plot".split())
    shown = {"compare": _FILES[:2], "show": _FILES[:3]}.get(command, _FILES)
    path = next(run.rglob(chance.choice(shown)))
    data, done = _changed(path, chance)
    other = str(fixtures.other)
    args = {
        "compare": ["compare", other, str(run / "test")],
        "table": ["table", str(run), "-o", str(scratch / "tables")],
        "show": ["show", str(run), "-n", "2", "-o", str(scratch / "grid.png")],
        "plot": ["plot", str(run), "--formats", "svg", "-o", str(scratch / "figures")],
    }[command]

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        main(args)
        if command == "compare":
            _check_values(run / "test")

    # A folder of runs reports what it leaves out; the folder is then what a refusal can name.
    names = (path.name, str(run), "the reasons are above")
    return Case(f"{command} {path.name}: {done}", data, attempt, names)


def _changed(path: Path, chance: Random) -> tuple[bytes, str]:
    data = path.read_bytes()
    if chance.random() < 0.5:
        if path.suffix == ".json":
            tree, done = mutate_tree(json.loads(data), chance)
            return json.dumps(tree).encode(), done
        if path.suffix == ".npz":
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            name = chance.choice(
                [n for n in sorted(arrays) if arrays[n].ndim and arrays[n].dtype.kind != "U"]
            )
            arrays[name], done = unusual(arrays[name], chance)
            return archive(arrays), f"{name}: {done}"
        if path.suffix == ".csv":
            return _table(data, chance)
    if path.suffix != ".npz" and chance.random() < 0.1:
        return reencode(data.decode(), chance)
    return mutate_bytes(data, chance)


def _table(data: bytes, chance: Random) -> tuple[bytes, str]:
    rows = [*csv.reader(data.decode().splitlines())]
    row = chance.randrange(len(rows))
    column = chance.randrange(len(rows[0]))
    value = chance.choice(("", "nan", "inf", "-1", "1e400", "x", "7", "0,5", '"', "\n", " 0.5 "))
    kind = chance.choice(("cell", "cell", "drop", "twice", "short", "column"))
    if kind == "cell":
        rows[row][column] = value
    elif kind == "drop":
        del rows[row]
    elif kind == "twice":
        rows.insert(row, rows[row])
    elif kind == "short":
        rows[row] = rows[row][:column]
    else:
        rows = [[*one, one[column]] for one in rows]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(), f"{kind} at {row}, {column}, {value!r}"


def _check_values(folder: Path) -> None:
    """The values that were compared are those that the table holds, and are some."""
    _, names, values = read_results(folder)
    with (folder / "queries.csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    if len(rows) != len(names):
        raise WrongResultError(f"{len(names)} of {len(rows)} rows")
    stated = json.loads((folder / "metrics.json").read_text("utf-8"))["queries"]
    if stated != len(rows):
        raise WrongResultError(f"{len(rows)} rows, and metrics.json states {stated}")
    for name, column in values.items():
        wanted = [float(row[name]) if row[name] else math.nan for row in rows]
        if not np.allclose(column, wanted, equal_nan=True):
            raise WrongResultError(f"other values of {name} than in queries.csv")
        if np.isinf(column).any() or column.min() < 0:
            raise WrongResultError(f"values of {name} that cannot be")


def index_folder(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """An index with one file changed: refused, or the same photos."""
    from sketchclip.search.index import PhotoIndex  # its library may not be there in the parent

    place = scratch / "index"
    shutil.copytree(fixtures.index, place)
    files = sorted(path for path in place.rglob("*") if path.is_file() and path.stat().st_size)
    path = chance.choice(files)
    data, done = mutate_bytes(path.read_bytes(), chance)
    vector = np.linspace(-1, 1, PhotoIndex.open(str(fixtures.index)).engine.width)
    whole = {hit.photo for hit in PhotoIndex.open(str(fixtures.index)).search(vector, 99)}

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        index = PhotoIndex.open(str(place))
        hits = index.search(vector, 99)
        names = {hit.photo for hit in hits}
        # Vectors and texts have no checksum: a changed one is another, a lost one is a fault.
        if not all(math.isfinite(hit.score) and abs(hit.score) < 1e3 for hit in hits):
            raise WrongResultError("scores that are no numbers")
        if len(names) != len(whole):
            raise WrongResultError(f"{len(names)} photos of {len(whole)}")
        index.about["source"]

    return Case(f"{path.relative_to(place)}: {done}", data, attempt, (str(place),))


def prepared(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """A folder of 'data prepare' with one file changed: refused, or the pixels of the images."""
    source = fixtures.data.parent / "prepared"
    if not source.is_dir():
        args = ["data", "prepare", str(fixtures.data), "--out", str(scratch / "new")]
        main([*args, "--size", str(_FIT.size), "--workers", "1"])
        (scratch / "new").rename(source)
    place = scratch / "prepared"
    shutil.copytree(source, place)
    files = sorted(path for path in place.iterdir() if path.stat().st_size)
    path = chance.choice(files)
    data, done = mutate_bytes(path.read_bytes(), chance)
    images = sorted(fixtures.data.rglob("*.*"))[::5]
    # Numbers in the others have no checksum: a flipped bit is another pixel.
    exact = path.suffix == ".json"

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of images that are read from their files
            reader = open_reader(_FIT, str(place), fixtures.data)
            for image in images:
                found, wanted = reader(image), FileReader(_FIT)(image)
                if found.shape != wanted.shape or (exact and (found != wanted).any()):
                    raise WrongResultError(f"other pixels than {image.name} has")

    return Case(f"{path.name}: {done}", data, attempt, (str(place),))


MAKERS: dict[str, Maker] = {"run": run_folder, "index": index_folder, "prepared": prepared}
