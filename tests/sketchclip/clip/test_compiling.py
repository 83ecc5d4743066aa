"""Compiled networks: the same numbers and names, or a reason why not."""

import shutil

import pytest
import torch

from sketchclip.clip.compiling import compile_towers, towers_of

CPU = torch.device("cpu")


def embedded(method, images):
    with torch.no_grad():
        return [method.eval().embed(images, side) for side in ("sketch", "photo")]


def test_what_is_compiled_is_the_same_under_the_same_names(make_method):
    method, images = make_method(), torch.randn(2, 3, 32, 32)
    before, names = embedded(method, images), list(method.state_dict())
    assert [type(t).__name__ for t in towers_of(method)] == ["PromptedTower"] * 2
    assert compile_towers(method, CPU, "off") is None
    assert all(tower._compiled_call_impl is None for tower in towers_of(method))
    assert compile_towers(method, CPU, backend="eager") is None
    assert all(tower._compiled_call_impl is not None for tower in towers_of(method))
    for one, other in zip(before, embedded(method, images), strict=True):
        torch.testing.assert_close(one, other)
    assert list(method.state_dict()) == names
    once = [tower._compiled_call_impl for tower in towers_of(method)]
    compile_towers(method, CPU, backend="eager")
    assert [tower._compiled_call_impl for tower in towers_of(method)] == once


def test_without_a_compiler_nothing_is_compiled(make_method):
    def broken(graph, inputs):
        raise RuntimeError("no such compiler\nmore of it")

    method = make_method()
    assert "no such compiler" in compile_towers(method, CPU, backend=broken)
    assert all(tower._compiled_call_impl is None for tower in towers_of(method))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="TorchInductor needs a compiler")
def test_a_compiled_run_measures_what_a_plain_one_does(run, tmp_path):
    found = {}
    for mode in ("off", "default"):
        cli = run("fit", "--trainer.max_epochs", "1", "--speed.compile", mode)
        towers = [*towers_of(cli.model)]
        assert len(towers) == 2
        assert all((t._compiled_call_impl is None) == (mode == "off") for t in towers)
        folder = cli.trainer.log_dir
        tested = run("test", "--ckpt_path", str(folder), "--speed.compile", mode)
        found[mode] = float(tested.trainer.callback_metrics["test/mAP@all"])
    assert found["default"] == pytest.approx(found["off"], abs=1e-4)


@pytest.mark.parametrize("matmul", ["highest", "medium"])
def test_evaluation_is_in_full_precision(run, matmul):
    args = ("--speed.matmul", matmul, "--trainer.callbacks+=tests.helpers.precision.Matmul")
    cli = run("fit", "--trainer.max_epochs", "2", *args)
    (seen,) = [cb.seen for cb in cli.trainer.callbacks if type(cb).__name__ == "Matmul"]
    assert seen == {"train": {matmul}, "validate": {"highest"}}
    assert torch.get_float32_matmul_precision() == "highest"
