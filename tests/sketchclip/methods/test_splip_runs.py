"""Runs of SpLIP: checkpoints, exports, indices, resumed runs, two processes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

import sketchclip
from sketchclip.checkpoint import own_names
from sketchclip.cli import main
from tests.sketchclip.methods.test_ddp import command
from tests.sketchclip.methods.test_earlier import Watch, embeddings, ranking

RUNS = {
    "category": ("SpLIP",),
    "instance": ("SpLIPFineGrained",),
    "image": ("SpLIP", "--model.adaptation.text_context", "image"),
}
# Other processes do not know the tiny CLIP.
MINI = ("--model.backbone", "sketchclip-mini", "--model.pretrained", "null")
every_run = pytest.mark.parametrize("name", RUNS)
# In the default run one form stands for all.
every_run_in_time = pytest.mark.parametrize(
    "name",
    ["category", *(pytest.param(n, marks=pytest.mark.slow) for n in RUNS if n != "category")],
)


@pytest.fixture
def arguments(tree: Path, options: list[str]) -> Any:
    """Options of a run on generated data with the tiny CLIP."""

    def make(name: str, *flags: str) -> list[str]:
        method, *more = RUNS[name]
        return [
            *("--model", method, *more, *options, "--model.permutations", "20"),
            *("--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.batch_size", "6"),
            *("--data.split", "random:2:0", "--grids.queries", "0", *flags),
        ]

    return make


@every_run_in_time
@pytest.mark.slow
def test_a_checkpoint_an_export_and_an_index_rank_alike(
    name: str, arguments: Any, tree: Path, tmp_path: Path, tiny_weights: Path
) -> None:
    fitted = main(["fit", *arguments(name), "--trainer.max_epochs", "1"])
    folder = fitted.trainer.log_dir
    main(["test", "--ckpt_path", folder, "--data.num_workers", "0"])
    target = tmp_path / "exported"
    main(["export", folder, "--to", str(target), "--pretrained", str(tiny_weights)])
    run = sketchclip.from_pretrained(folder)
    exported = sketchclip.from_pretrained(str(target), pretrained=tiny_weights)
    assert run.model_hash == exported.model_hash
    images = torch.randn(3, 3, 32, 32)
    first, second = embeddings(run, tree), embeddings(exported, tree)
    for side in ("sketch", "photo"):
        np.testing.assert_array_equal(first[side], second[side])
        with torch.no_grad():
            trained = fitted.model.eval().embed(images, side)
            torch.testing.assert_close(run.module.embed(images, side), trained)
    kept = {*own_names(exported.module)}
    assert any(n.startswith("adaptation.guide.") for n in kept) == (name == "image")
    assert ("adaptation.sketch" in kept) == (name != "image")
    assert not any(n.startswith(("solver.", "bank")) for n in kept)
    index = str(tmp_path / "index")
    main(["index", str(tree / "photo"), "-o", index, "--model", folder])
    sketch = sorted(tree.glob("sketch/*/*.png"))[0]
    hits = main(["search", str(sketch), "--index", index, "-k", "5"])
    paths = sorted(tree.glob("photo/*/*.png"))
    order = ranking(run, sketch, paths)
    assert [hit.path.resolve() for hit in hits] == [paths[at].resolve() for at in order[:5]]


@every_run_in_time
def test_a_resumed_run_is_the_uninterrupted_one(name: str, arguments: Any) -> None:
    epochs = ("--trainer.max_epochs", "2")
    whole = main(["fit", *arguments(name, *epochs)]).trainer
    stop = "--trainer.callbacks+=tests.helpers.interrupt.StopAfterOneEpoch"
    half = main(["fit", *arguments(name, *epochs, stop)]).trainer
    path = f"{half.log_dir}/checkpoints/last.ckpt"
    again = main(["fit", *arguments(name, *epochs), "--ckpt_path", path]).trainer
    files = [Path(t.log_dir) / "checkpoints" / "last.ckpt" for t in (half, whole, again)]
    start, one, two = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert one.keys() == two.keys()
    for tensor in one:
        assert torch.equal(one[tensor], two[tensor]), tensor
    changed = {tensor for tensor in one if not torch.equal(one[tensor], start[tensor])}
    assert changed == one.keys() - {"bank"}


@every_run_in_time
def test_eight_samples_are_learnt_and_all_that_trains_gets_a_gradient(
    name: str, arguments: Any
) -> None:
    sizes = ("--data.batch_size", "8", "--data.validation", "none", "--trainer.max_steps", "1")
    rates = ("--model.lr", "3e-3", "--model.lr_ln", "1e-2")
    fitted = main(["fit", *arguments(name), *sizes, *rates])
    # Permutations are drawn anew in each step: eight samples do not teach them.
    model, data, watch = fitted.model, fitted.datamodule, Watch("train/classes")
    batch = data.normalize(next(iter(data.train_dataloader())))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=80, accelerator="cpu", callbacks=[watch], **quiet)
    trainer.fit(model, DataLoader([batch], batch_size=None))
    assert np.mean(watch.losses[-10:]) < 0.7 * np.mean(watch.losses[:10])
    assert watch.touched == {n for n, p in model.named_parameters() if p.requires_grad}
    for tensor, parameter in model.named_parameters():
        assert parameter.requires_grad != torch.equal(parameter, before[tensor]), tensor


@pytest.mark.slow
@pytest.mark.ddp
@every_run
def test_two_processes_go_on_as_one(name: str, arguments: Any, tmp_path: Path) -> None:
    # Permutations of a batch depend on the process, so that the jigsaw is left out.
    shared = arguments(name, *MINI, "--model.lambda_jigsaw", "0", "--data.batch_size", "4")
    # Random maps are drawn where training begins: both go on from the same ones.
    start = main(["fit", *shared, "--trainer.max_epochs", "1"]).trainer.log_dir
    found = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        flags = [
            *("--trainer.devices", str(devices), "--trainer.max_epochs", "3"),
            *("--trainer.strategy", "ddp" if devices > 1 else "auto"),
            *("--trainer.logger.save_dir", str(folder), "--ckpt_path", start),
        ]
        execute = command if devices == 2 else lambda *args: main(args)
        execute("fit", *shared, *flags)
        (file,) = folder.glob("*/version_0/checkpoints/last.ckpt")
        found.append(torch.load(file, weights_only=True)["state_dict"])
    one, two = found
    assert one.keys() == two.keys()
    for tensor, value in one.items():
        torch.testing.assert_close(two[tensor], value, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.ddp
@every_run
def test_two_processes_measure_what_their_checkpoint_gives(
    name: str, arguments: Any, tmp_path: Path
) -> None:
    shared = arguments(name, *MINI, "--trainer.devices", "2", "--trainer.strategy", "ddp")
    command("fit", *shared, "--trainer.max_epochs", "1")
    (run,) = (tmp_path / "runs").glob("*/version_0")
    command("test", *shared, "--ckpt_path", str(run))
    one = main(["test", *arguments(name, *MINI), "--ckpt_path", str(run)]).model.results.metrics
    (tested,) = run.glob("test/metrics.json")
    two = json.loads(tested.read_text("utf-8"))["metrics"]
    for metric, value in one.items():
        assert value == pytest.approx(two[metric], abs=1e-6), metric
