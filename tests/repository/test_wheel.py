"""The wheel: what is in it, and the quickstart from it alone.

``make dist`` lets ``SKETCHCLIP_WHEEL`` name the wheel that it has built; otherwise one is built.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml

from sketchclip import __version__
from tests.helpers.paths import REPOSITORY

LICENCES = {
    "LICENSE",
    "data_modules/benchmarks/LICENSES.md",
    "data_modules/benchmarks/LICENSE-Apache-2.0.txt",
    "sketchclip/assets/MODEL_CARD.md",
    "sketchclip/assets/wordnet_LICENSE.txt",
}
EXTRAS = {
    "plot": {"matplotlib", "scikit-learn"},
    "onnx": {"onnx", "onnxruntime", "onnxscript"},
    "search": {"anyio", "lancedb", "pydantic", "starlette", "uvicorn"},
    "tensorboard": {"tensorboard"},
}
# Any other host than this machine is out of reach for the program.
OFFLINE = """
import sys

def refuse(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if str(host) not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network here, and {host} was asked for")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if built := os.environ.get("SKETCHCLIP_WHEEL"):
        return (REPOSITORY / built).resolve()
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    done = subprocess.run([*build, folder], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def files(folder):
    paths = (path for path in (REPOSITORY / folder).rglob("*") if path.is_file())
    kept = (path for path in paths if {"__pycache__", ".DS_Store"}.isdisjoint(path.parts))
    return {path.relative_to(REPOSITORY).as_posix() for path in kept}


def test_every_file_of_the_packages_is_there_and_nothing_else(names, wheel):
    code = files("sketchclip") | files("data_modules")
    configs = {f"sketchclip/{name}" for name in files("experiments")}
    about = f"sketchclip-{__version__}.dist-info"
    description = {f"{about}/{x}" for x in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    description |= {f"{about}/licenses/{name}" for name in LICENCES}
    assert names == code | configs | description
    assert {"sketchclip/py.typed", "data_modules/py.typed"} <= names
    assert "sketchclip/experiments/doodles.yaml" in names
    assert wheel.stat().st_size < 12e6


def test_its_metadata_name_licences_and_extras(wheel):
    with zipfile.ZipFile(wheel) as file:
        about = f"sketchclip-{__version__}.dist-info"
        metadata = message_from_bytes(file.read(f"{about}/METADATA"))
        scripts = file.read(f"{about}/entry_points.txt").decode()
        notice = file.read("data_modules/benchmarks/LICENSES.md").decode()
    assert metadata["Version"] == __version__
    assert set(metadata.get_all("License-File")) == LICENCES
    declared = set(metadata["License-Expression"].split(" AND "))
    assert declared == {
        *("MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0", "LicenseRef-WordNet-3.0")
    }
    assert all(name in notice for name in ("CC BY 4.0", "CC BY-SA 4.0", "Apache-2.0", "MIT"))
    assert "sketchclip = sketchclip.cli:console" in scripts
    needed = [line.partition(";") for line in metadata.get_all("Requires-Dist")]
    for extra, packages in EXTRAS.items():
        of_it = {n.split(">")[0].strip() for n, _, when in needed if f"extra == '{extra}'" in when}
        assert of_it == packages, extra
    base = {name for name, _, when in needed if not when}
    assert not [name for name in base if name.startswith(("lancedb", "matplotlib", "onnx"))]


def test_the_citation_file_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    # The keys that the format 1.2.0 requires.
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors", "year", "identifiers"} <= paper.keys()
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in " ".join(readme.split())


@pytest.mark.slow
def test_quickstart_runs_from_the_wheel_without_a_network(wheel, tmp_path):
    """In an environment that has the packages of this one, less the repository itself."""
    venv.create(tmp_path / "venv", with_pip=False)
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    shown = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip())
    # Editable installs of this environment are .pth files, which are not read in a folder named so.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(OFFLINE)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", wheel], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SKETCHCLIP_CACHE")}
    environment = {**kept, "SKETCHCLIP_CACHE": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""}

    def run(*args):
        return subprocess.run(
            [*args], cwd=empty, env=environment, check=True, capture_output=True, text=True
        ).stdout

    asking = [python, "-c", "import socket; socket.create_connection(('example.org', 80))"]
    refused = subprocess.run(asking, env=environment, capture_output=True, text=True)
    assert "no network here, and example.org was asked for" in refused.stderr
    place = run(python, "-c", "import sketchclip; print(sketchclip.__file__)")
    assert Path(place.strip()).is_relative_to(tmp_path)
    printed = run(binaries / "sketchclip", "quickstart", "--seeds", "0")
    assert "Doodles: 1,280 sketches of 64 unseen classes" in " ".join(printed.split())
    results = json.loads((empty / "runs" / "quickstart" / "results.json").read_text())
    chance = results["chance_mAP@all"]
    assert results["rows"]["frozen"]["mAP@all"]["mean"] > 5 * chance
    assert (empty / "runs" / "quickstart" / "before_after.png").stat().st_size > 10_000
