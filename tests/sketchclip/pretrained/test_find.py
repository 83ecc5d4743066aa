"""A typing error in a path is named at once; the hub is asked for what looks like a repository."""

import os
import pickle
import socket
import time

import pytest
import torch
from safetensors.torch import save_file

from sketchclip.checkpoint import CompactCheckpointIO, write_safetensors
from sketchclip.errors import SketchClipError
from sketchclip.pretrained import hub
from sketchclip.pretrained.checkpoint_file import read_checkpoint
from sketchclip.pretrained.find import find_checkpoint, hub_id


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = tmp_path / "runs" / "own_data" / "version_0" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").touch()

    def asked(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("sketchclip.pretrained.hub.download", asked)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("runs/own_dat", r"runs/own_dat does not exist; there is runs/own_data\."),
        ("run/own_data", r"does not exist; there is runs/own_data\. A repository .*hf://run/own_d"),
        ("Runs/own_data/version_0", r"there is runs/own_data/version_0\.$"),
        ("./runs/own_dta/version_0", r"there is runs/own_data/version_0\.$"),
        ("runs/own_data/version_0/checkpoints/lst.ckpt", r"there is .*/checkpoints/last\.ckpt\.$"),
        ("runs/own_data/version_9/last", r"does not exist\.|there is"),
        ("runs/other", r"runs/other does not exist; runs holds own_data\.$"),
        ("owner/last.ckpt", r"does not exist\.$"),
        ("a/b/c", r"does not exist\.$"),
        ("~/nothing/such", r"does not exist\.$"),
        ("/nothing/such", r"does not exist\.$"),
        ("runs/own_data", r"runs/own_data has no .*last\.ckpt\. Name a run in it: .*/version_0\.$"),
    ],
)
def test_a_path_is_decided_by_its_form(value, told, runs):
    with pytest.raises(SketchClipError, match=told):
        find_checkpoint(value, option="--model")


def test_a_repository_is_what_looks_like_one(runs):
    assert hub_id("owner/model") == hub_id("hf://owner/model") == "owner/model"
    assert hub_id("hf://runs/own_data") == "runs/own_data"  # whatever is here
    assert hub_id("runs/model") is None


def test_a_home_folder_is_found_behind_an_equals_sign(runs, monkeypatch):
    monkeypatch.setenv("HOME", str(runs.parent))
    assert find_checkpoint("~/runs/own_data/version_0").endswith("version_0/checkpoints/last.ckpt")


def test_a_hub_that_says_nothing_is_not_waited_for(monkeypatch):
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(hub, "PATIENCE", 0.2)
        started = time.monotonic()
        with pytest.raises(SketchClipError, match=r"cannot be reached.*give --model=FOLDER"):
            hub.download("owner/model", "--model")
        assert time.monotonic() - started < 5


class Code:
    def __reduce__(self):
        return os.mkdir, ("was_run",)


def content(**changed: object) -> dict:
    state = {"weight": torch.randn(64, 64)}
    entries = {"state_dict": state, "hyper_parameters": {}, "preprocessing": {}}
    return entries | {"training_classes": ["cat"], "backbone": None, "training_data": []} | changed


DAMAGED = {
    "empty.ckpt": (lambda path: path.write_bytes(b""), "it is empty"),
    "text.ckpt": (lambda path: path.write_text("hello"), "no archive of PyTorch"),
    "pickle.ckpt": (lambda path: path.write_bytes(pickle.dumps(Code())), "no archive of PyTorch"),
    "code.ckpt": (lambda path: torch.save(content(x=Code()), path), r"code, .*never run \(\w+\.mk"),
    "tensor.ckpt": (lambda path: torch.save(torch.ones(2), path), "one object of type Tensor"),
    "no_state.ckpt": (
        lambda path: torch.save({"hyper_parameters": {}, "epoch": 1}, path),
        "no entry state_dict, preprocessing, training_classes",
    ),
    "kind.ckpt": (lambda path: torch.save(content(state_dict=[]), path), "state_dict is of type l"),
    "odd.ckpt": (
        lambda path: torch.save(content(state_dict={"a": "b"}), path),
        "holds what is no dense tensor of real numbers: a",
    ),
    "sparse.ckpt": (
        lambda path: torch.save(content(state_dict={"a": torch.ones(2).to_sparse()}), path),
        "no dense tensor of real numbers: a",
    ),
    "name.ckpt": (
        lambda path: torch.save(content(hyper_parameters={None: 1}), path),
        "hyper_parameters have the name None",
    ),
    "backbone.ckpt": (lambda path: torch.save(content(backbone="x"), path), "backbone is of type"),
    "plain.safetensors": (
        lambda path: save_file({"a": torch.ones(2)}, path),
        "metadata has no entry 'sketchclip'",
    ),
    "json.safetensors": (
        lambda path: save_file({"a": torch.ones(2)}, path, {"sketchclip": "[1"}),
        "damaged or incomplete",
    ),
    "text.safetensors": (lambda path: path.write_text("hello"), "damaged or incomplete"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_checkpoint_of_ours_is_refused_with_the_reason(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, reason = DAMAGED[name]
    write(tmp_path / name)
    with pytest.raises(SketchClipError, match=rf"{name} is no checkpoint .*: .*{reason}"):
        read_checkpoint(tmp_path / name)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
def test_a_file_that_was_cut_or_changed_is_refused(name, tmp_path):
    path = tmp_path / name
    if path.suffix == ".ckpt":
        CompactCheckpointIO().save_checkpoint(content(), path)
    else:
        write_safetensors(content(), path)
    assert read_checkpoint(path)["training_classes"] == ["cat"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SketchClipError, match=r"cut off|incomplete"):
        read_checkpoint(path)
    if path.suffix == ".ckpt":  # safetensors have no checksums
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
        with pytest.raises(SketchClipError, match="damaged"):
            read_checkpoint(path)
