"""Sketch3T, of which no code is public: its losses, what learns, and what a test leaves behind."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.func import functional_call

import data_modules
from data_modules.batch import TrainingBatch
from data_modules.images.drawings import svg_of
from sketchclip.cli import main
from sketchclip.clip.image_encoder import CLIPImageEncoder
from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods import Sketch3T
from tests.sketchclip.nn.test_fast_weights import strokes

SIZES: dict[str, Any] = {"dim": 6, "hidden": 7, "map_size": 8, "stroke_points": 12}
LABELS = torch.tensor([0, 0, 1, 3, 3, 2])
QUIET: dict[str, Any] = {
    **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False},
    **{"accelerator": "cpu", "enable_model_summary": False},
}


def make(frozen: bool = False, **changes: Any) -> Sketch3T:
    torch.manual_seed(0)
    encoder = TimmEncoder("test_resnet", "random", frozen=frozen, size=32)
    method = Sketch3T(encoder, **{**SIZES, **changes})
    method.log_losses = lambda losses, size: None  # type: ignore[method-assign]
    return method


def batch_of(method: Sketch3T) -> TrainingBatch:
    noise = torch.Generator().manual_seed(3)
    shape = len(LABELS), 3, method.image_size, method.image_size
    images = [torch.randn(shape, generator=noise) for _ in range(3)]
    return TrainingBatch(*images, LABELS, strokes=strokes(noise, [12, 3, 5, 9, 4, 7], 12))


@pytest.mark.parametrize("frozen", [False, True])
def test_the_outer_loss_teaches_all_that_the_inner_step_reads(frozen: bool) -> None:
    method = make(frozen)
    method.training_step(batch_of(method), 0).backward()
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        # A random encoder has BatchNorms that let nothing through.
        if parameter.requires_grad and not name.startswith("encoder"):
            assert parameter.grad is not None
            assert bool(parameter.grad.abs().max() > 0), name


def test_a_training_step_is_its_equations() -> None:
    method = make(frozen=True, inner_lr=0.3, lambda_auxiliary=0.7, lambda_outer=0.2).double()
    batch = batch_of(method).map_tensors(lambda t: t.double() if t.is_floating_point() else t)
    found = method.training_step(batch, 0)
    inner, outer = method._sets(LABELS, 0)
    assert not {*LABELS[inner].tolist()} & {*LABELS[outer].tolist()}
    assert bool((inner ^ outer).all())
    layer = method.residual
    assert layer is not None
    sides = {"sketch": batch.sketch, "photo": batch.photo, "negative": batch.negative}
    values = {n: method.encoder(x, "photo").detach() for n, x in sides.items()}
    eta = 12 * torch.softmax(method.step_weights, 0)

    def losses(rows: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        moved = {n: v[rows] + v[rows] @ w.T + b for n, v in values.items()}
        heads = {n: method.head(v) for n, v in moved.items()}
        heads = {n: h / h.square().sum(1, keepdim=True).sqrt() for n, h in heads.items()}
        near, far = (
            (heads["sketch"] - heads[n] + 1e-6).square().sum(1).sqrt()
            for n in ("photo", "negative")
        )
        assert batch.strokes is not None
        true = batch.strokes[rows]
        points, pens = method.sketch_decoder(moved["sketch"], true)
        real = true[..., 2] >= 0
        drawn = torch.zeros((), dtype=torch.float64)
        for b_, length in enumerate(real.sum(1).tolist()):
            away = (points[b_, :length] - true[b_, :length, :2]).square().sum(1)
            state = torch.tensor([[0, 1, -1].index(int(p)) for p in true[b_, :, 2]])
            entropy = torch.nn.functional.cross_entropy(pens[b_, : length + 1], state[: length + 1])
            drawn = drawn + ((eta[:length] * away).mean() + entropy) / len(true)
        edges = method.photo_target(batch.photo[rows])
        squared = (method.photo_decoder(moved["photo"]) - edges).square().mean()
        return torch.relu(0.3 + near - far).mean(), drawn + squared

    triplet, auxiliary = losses(inner, layer.weight, layer.bias)
    w, b = torch.autograd.grad(triplet + 0.7 * auxiliary, (layer.weight, layer.bias))
    triplet, auxiliary = losses(outer, layer.weight - 0.3 * w, layer.bias - 0.3 * b)
    torch.testing.assert_close(
        found.detach(), (triplet + 0.2 * auxiliary).detach(), atol=1e-6, rtol=1e-6
    )


def test_the_learned_rate_has_the_gradient_of_differences() -> None:
    method = make(frozen=True, inner_lr=0.5).double()
    batch = batch_of(method).map_tensors(lambda t: t.double() if t.is_floating_point() else t)
    for parameter in (method.log_rate, method.step_weights):
        method.zero_grad()
        method.training_step(batch, 0).backward()
        assert parameter.grad is not None
        exact, values = parameter.grad.flatten()[0].item(), []
        for change in (1e-3, -2e-3):
            parameter.data.view(-1)[0] += change
            values.append(float(method.training_step(batch, 0).detach()))
        parameter.data.view(-1)[0] += 1e-3
        assert exact == pytest.approx((values[0] - values[1]) / 2e-3, rel=1e-2)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adapt_decoders": False},
        {"sketch_target": "raster"},
        {"frozen": True},
        {"adapt": "all"},
    ],
    ids=str,
)
def test_a_query_knows_nothing_of_the_others(changes: dict[str, Any]) -> None:
    method = make(inner_lr=0.05, **changes).eval()
    batch = batch_of(method)
    before = {n: t.clone() for n, t in method.state_dict().items()}
    plain = method.query_state(batch.sketch, batch.strokes)
    method.adapted = method.weights()
    assert batch.strokes is not None
    together = method.query_state(batch.sketch, batch.strokes)
    assert not torch.allclose(plain, together, atol=1e-6)
    alone = [
        method.query_state(batch.sketch[i : i + 1], batch.strokes[i : i + 1])
        for i in range(len(LABELS))
    ]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-6, rtol=1e-6)
    for name, tensor in method.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_query_takes_the_steps_of_its_own_loss() -> None:
    """One query after another by autograd on the encoder's weights, as the text has it."""
    method = make(inner_lr=0.05, adapt_decoders=False, sketch_steps=3).eval()
    batch = batch_of(method)
    method.adapted = method.weights()
    assert batch.strokes is not None
    found = method.query_state(batch.sketch, batch.strokes)
    for row in range(2):
        image, true = batch.sketch[row : row + 1], batch.strokes[row : row + 1]
        own = {n: p.detach().requires_grad_() for n, p in method.weights().items()}

        def feature(own: dict[str, Tensor], image: Tensor = image) -> Tensor:
            inside = {n.removeprefix("encoder."): w for n, w in own.items()}
            return functional_call(method.encoder, inside, (image, "sketch"))

        for _ in range(3):
            loss = method.sketch_loss({}, feature(own), true)
            grads = torch.autograd.grad(loss, [*own.values()])
            moved = [w - 0.05 * g for w, g in zip(own.values(), grads, strict=True)]
            own = {n: w.detach().requires_grad_() for n, w in zip(own, moved, strict=True)}
        expected = method.embedding(feature(own))[0]
        torch.testing.assert_close(found[row], expected.detach(), atol=1e-5, rtol=1e-5)


def test_first_order_needs_an_outer_loss_of_the_decoders() -> None:
    with pytest.raises(SketchClipError, match=r"--model.lambda_outer 1"):
        make(first_order=True)
    method = make(first_order=True, lambda_outer=1.0)
    method.training_step(batch_of(method), 0).backward()
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.parametrize("wrong", [{"map_size": 30}, {"stroke_points": 1}, {"inner_lr": 0.0}])
def test_settings_that_fit_no_decoder_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SketchClipError, match=f"found .*{next(iter(wrong.values()))}"):
        make(**wrong)


def test_transformers_adapt_as_well() -> None:
    torch.manual_seed(0)
    for encoder in (TimmEncoder("test_vit", "random"), CLIPImageEncoder("sketchclip-mini")):
        method = Sketch3T(encoder, **SIZES)
        method.log_losses = lambda losses, size: None  # type: ignore[method-assign]
        batch = batch_of(method)
        method.training_step(batch, 0).backward()
        assert method.log_rate.grad is not None
        method.eval().adapted = method.weights()
        assert batch.strokes is not None
        together = method.query_state(batch.sketch[:3], batch.strokes[:3])
        alone = method.query_state(batch.sketch[1:2], batch.strokes[1:2])
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def drawn(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated tree with an SVG file of strokes beside each sketch."""
    root = tmp_path_factory.mktemp("drawn") / "tree"
    shutil.copytree(tree, root)
    rng = np.random.default_rng(0)
    for path in root.glob("sketch/*/*.png"):
        lines = [rng.integers(0, 255, (2, rng.integers(2, 9))).tolist() for _ in range(3)]
        path.with_suffix(".svg").write_text(svg_of(lines))
    return root


def options(root: Path, folder: Path) -> list[str]:
    return [
        *("--model", "Sketch3T", "--model.encoder", "TimmEncoder", "--model.dim", "8"),
        *("--model.encoder.name", "test_resnet", "--model.encoder.pretrained", "random"),
        *("--model.encoder.size", "32", "--model.hidden", "8", "--model.map_size", "8"),
        *("--model.stroke_points", "16", "--model.inner_lr", "0.05", "--data.num_workers", "0"),
        *("--data", "SketchPhotoFolder", "--data.root", str(root), "--data.split", "random:2:0"),
        *("--data.batch_size", "6", "--trainer.accelerator", "cpu", "--trainer.devices", "1"),
        *("--trainer.enable_progress_bar", "false", "--grids.queries", "0"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(folder)),
    ]


def test_a_test_adapts_and_leaves_the_model_as_it_was(drawn: Path, tmp_path: Path) -> None:
    flags = ("--trainer.max_epochs", "1", "--model.adapt_in_validation", "true")
    cli = main(["fit", *options(drawn, tmp_path), *flags])
    method, data = cli.model, cli.datamodule
    before = {n: t.clone() for n, t in method.state_dict().items()}
    outputs = {}
    for steps in (4, 0):
        method.hparams.update(photo_steps=steps, sketch_steps=steps)
        trainer = Trainer(**QUIET)
        trainer.test(method, datamodule=data, verbose=False)
        for name, tensor in method.state_dict().items():
            assert torch.equal(tensor, before[name]), name
        assert method.adapted is None
        predicted: Any = Trainer(**QUIET).predict(method, datamodule=data)
        outputs[steps] = [torch.cat([b["state"] for b in side]) for side in predicted]
    for adapted, plain in zip(outputs[4], outputs[0], strict=True):
        assert not torch.allclose(adapted, plain, atol=1e-6)
    # Without adaptation a test ranks what search embeds.
    loader = data.test_dataloader()[0]
    batch = data.normalize(next(iter(loader)))
    with torch.inference_mode():
        torch.testing.assert_close(outputs[0][0], method.eval().embed(batch.image, "sketch"))


def test_bitmaps_without_strokes_are_refused_by_name(tree: Path) -> None:
    data = data_modules.SketchPhotoFolder(root=str(tree), split="random:2:0", num_workers=0)
    told = r"no .svg file.*--model.sketch_target raster"
    with pytest.raises(SketchClipError, match=told):
        Trainer(**QUIET, max_epochs=1).fit(make(), datamodule=data)
    with pytest.raises(SketchClipError, match=told):
        Trainer(**QUIET).test(make(), datamodule=data, verbose=False)
