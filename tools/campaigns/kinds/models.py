"""Trained models: a checkpoint that was changed is refused, or embeds as before."""

import io
import json
import shutil
import struct
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from sketchclip.pretrained.model import SearchModel, load_model
from tools.campaigns.kinds.cases import Case, Fixtures, Maker
from tools.campaigns.kinds.mutate import mutate_bytes, mutate_tree
from tools.campaigns.observe import WrongResultError


def _picture() -> np.ndarray:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[20:24, 10:50] = 0
    return image


@cache
def _wanted(run: Path) -> np.ndarray:
    return load_model(run, device="cpu").sketches([_picture()])[0]


def _check(model: SearchModel, run: Path, exact: bool) -> None:
    found = model.sketches([_picture()])[0]
    if not np.isfinite(found).all():
        raise WrongResultError("embeddings that are not finite")
    if exact and not np.allclose(found, _wanted(run), atol=1e-5):
        raise WrongResultError("other embeddings than before")


def checkpoint(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """A checkpoint of 'sketchclip fit', its content or its bytes changed."""
    run = scratch / "run"
    source = fixtures.run
    path = run / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    shutil.copy(source / "config.yaml", run)
    data = (source / "checkpoints" / "last.ckpt").read_bytes()
    exact = chance.random() < 0.5
    if exact:
        data, done = mutate_bytes(data, chance)
    else:
        data, done = _content(data, chance)

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        _check(load_model(path, device="cpu"), source, exact)

    return Case(done, data, attempt, ("last.ckpt", "Checkpoint", *_parts(done)))


def _parts(done: str) -> tuple[str, ...]:
    return tuple(part for part in done.partition(" is ")[0].split(".") if len(part) > 4)


def _content(data: bytes, chance: Random) -> tuple[bytes, str]:
    content: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
    state = content["state_dict"]
    name = chance.choice(sorted(state))
    kind = chance.choice("tensor tensor settings settings entry".split())
    if kind == "tensor":
        old = state[name]
        done, state[name] = chance.choice(
            (
                ("NaN", torch.full_like(old, torch.nan)),
                ("inf", torch.full_like(old, torch.inf)),
                ("of another shape", old[..., :1]),
                ("complex", old.to(torch.complex64)),
                ("integers", old.to(torch.int64)),
                ("half", old.half()),
                ("a number", 3.0),
                ("sparse", old.to_sparse()),
                ("None", None),
            )
        )
        done = f"{name} is {done}"
    elif kind == "settings":
        part = chance.choice(("hyper_parameters", "preprocessing", "training_classes", "backbone"))
        content[part], done = mutate_tree(content.get(part), chance)
        done = f"{part}.{done}"
    else:
        key = chance.choice(sorted(content))
        content[key], done = chance.choice(((None, "None"), ([], "a list"), ({}, "nothing")))
        done = f"{key} is {done}"
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue(), done


def safetensors(chance: Random, fixtures: Fixtures, scratch: Path) -> Case:
    """An exported model; its header, its description or its bytes changed."""
    folder = scratch / "model"
    shutil.copytree(fixtures.run / "exported", folder)
    name = chance.choice(("model.safetensors", "model.safetensors", "config.json", "config.yaml"))
    path = folder / name
    data = path.read_bytes()
    if name == "config.json" and chance.random() < 0.6:
        tree, done = mutate_tree(json.loads(data), chance)
        data = json.dumps(tree).encode()
    elif name == "model.safetensors" and chance.random() < 0.6:
        data, done = _header(data, chance)
    else:
        data, done = mutate_bytes(data, chance)

    def attempt(content: bytes) -> None:
        path.write_bytes(content)
        # Tensors have no checksum: a flipped bit of a number is another number.
        _check(load_model(folder, device="cpu"), fixtures.run, exact=name != "model.safetensors")

    return Case(
        f"{name}: {done}",
        data,
        attempt,
        (*(p.name for p in folder.iterdir()), "model", "Checkpoint"),
    )


def _header(data: bytes, chance: Random) -> tuple[bytes, str]:
    (size,) = struct.unpack("<Q", data[:8])
    header, done = json.loads(data[8 : 8 + size]), ""
    if chance.random() < 0.5:
        about = json.loads(header["__metadata__"]["sketchclip"])
        about, done = mutate_tree(about, chance)
        header["__metadata__"]["sketchclip"] = json.dumps(about)
    else:
        header, done = mutate_tree(header, chance)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :], f"header.{done}"


MAKERS: dict[str, Maker] = {"ckpt": checkpoint, "safetensors": safetensors}
