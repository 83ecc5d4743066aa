"""TVT, PSKD and self-distillation: their losses against NumPy, teachers, stages and centres."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

import sketchclip
from data_modules.batch import ImageBatch
from sketchclip.cli import main
from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import centre_alignment_loss, correlated_distillation_loss
from sketchclip.methods import PSKD, TVT, SelfDistillation
from sketchclip.nn import ClassCentres, TeacherCentres, random_crops

NAMES = ["cat", "airplane", "door"]
LABELS = np.array([0, 0, 1, 2, 1, 2])
SIDES = np.array([0, 1, 1, 0, 1, 1])


def array(value: Any) -> np.ndarray:
    return value.detach().double().numpy()


def built(method: Any) -> tuple[Any, dict[str, float]]:
    torch.manual_seed(0)
    method.build_training_parts()
    logged: dict[str, float] = {}
    method.log_losses = lambda found, size: logged.update({n: float(v) for n, v in found.items()})
    return method, logged


def batch(x: torch.Tensor, features: bool) -> ImageBatch:
    labels = torch.from_numpy(LABELS)
    return ImageBatch(x, labels, labels, side=torch.from_numpy(SIDES), features=features)


def images(size: int = 64) -> torch.Tensor:
    noise = torch.Generator().manual_seed(1)
    return torch.randn(len(LABELS), 3, size, size, generator=noise)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def smoothed(logits: np.ndarray, labels: np.ndarray, smoothing: float = 0.1) -> float:
    target = np.full(logits.shape, smoothing / (logits.shape[1] - 1))
    target[np.arange(len(labels)), labels] = 1 - smoothing
    return float(-(target * log_softmax(logits)).sum(1).mean())


def soft(logits: np.ndarray, told: np.ndarray) -> float:
    return float(-(np.exp(log_softmax(told)) * log_softmax(logits)).sum(1).mean())


def spread(f: np.ndarray) -> float:
    pairs = [(i, j) for i in range(len(f)) for j in range(i)]
    return float(np.log(np.mean([np.exp(-2 * ((f[i] - f[j]) ** 2).sum()) for i, j in pairs])))


@pytest.mark.parametrize("distill", ["prototypes", "cosine"])
@pytest.mark.parametrize("network", ["test_vit", "test_resnet", "frozen"])
def test_tvt(network: str, distill: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "test_resnet" if network == "frozen" else network
    encoder = TimmEncoder(name, "random", size=64, frozen=network == "frozen")
    sizes = {"prototypes": 12, "hidden": 10, "projection": 6}
    method, logged = built(TVT(NAMES, encoder, distill=distill, lambda_uniform=0.3, **sizes))
    monkeypatch.setattr(TVT, "steps_of_an_epoch", 4)
    monkeypatch.setattr(TVT, "global_step", 42)  # of a rise from 4 to 80
    monkeypatch.setattr(TVT, "current_epoch", 3)
    x = images()
    with torch.no_grad():
        told = array(method.teachers["photo"](x, "photo"))
        for parameter in (*method.encoder.parameters(), *method.tokens.parameters()):
            parameter.add_(0.01 * torch.randn(parameter.shape))
        before = copy.deepcopy(method)
        features = network == "frozen"
        given = method.encoder(x, "photo") if features else x
        told = array(given) if features else told
    weight = 1 - np.cos(np.pi * 38 / 76)
    if distill == "prototypes":
        before.teacher_centres.means.copy_(torch.randn(before.teacher_centres.means.shape) / 9)
        method.teacher_centres.means.copy_(before.teacher_centres.means)
    before.class_centres.centres.copy_(
        nn.functional.normalize(torch.randn(before.class_centres.centres.shape), dim=2)
    )
    method.class_centres.centres.copy_(before.class_centres.centres)
    loss = method.training_step(batch(given, features), 0)

    with torch.no_grad():
        tokens = before.tokens(before.encoder, x, "photo")
        f = array(before.project(tokens[:, 0]))
        logits = array(before.classes(before.project(tokens[:, 0])))
        if distill == "prototypes":
            said = array(before.distill(tokens[:, 1]))
            known = array(before.told["photo"](torch.from_numpy(told).float()))
    terms = dict.fromkeys(("distill", "classes", "uniform", "align"), 0.0)
    centres = array(before.class_centres.centres)
    for side in (0, 1):
        rows = side == SIDES
        share = rows.mean()
        if distill == "prototypes":
            centre = array(before.teacher_centres.means)[side]
            apart = soft(said[rows] / 0.1, (known[rows] - centre) / 0.0625)
            close = 0.9 * centre + 0.1 * known[rows].mean(0)
            np.testing.assert_allclose(array(method.teacher_centres.means)[side], close, atol=1e-5)
        else:
            apart = 1 - (unit(array(tokens[:, 1])[rows]) * unit(told[rows])).sum(1).mean()
        for label in np.unique(LABELS[rows]):
            mean = f[rows & (label == LABELS)].mean(0)
            moved = 0.9 * centres[side, label] + 0.1 * mean
            centres[side, label] = moved / np.linalg.norm(moved)
        present = np.unique(LABELS[rows])
        align = ((centres[side] - centres[1 - side])[present] ** 2).sum(1).mean()
        terms["distill"] += share * apart
        terms["classes"] += share * smoothed(logits[rows], LABELS[rows])
        terms["uniform"] += share * weight * 0.3 * spread(f[rows])
        terms["align"] += share * weight * align
    for name, value in terms.items():
        assert logged[f"train/{name}"] == pytest.approx(value, rel=2e-4, abs=1e-5), name
    assert float(loss) == pytest.approx(sum(terms.values()), rel=1e-4)
    np.testing.assert_allclose(array(method.class_centres.centres), centres, atol=1e-5)


@pytest.mark.parametrize("network", ["test_vit", "frozen"])
def test_pskd(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = network == "frozen"
    encoder = TimmEncoder("test_resnet" if frozen else network, "random", frozen=frozen, size=64)
    weights = {"lambda_prototype": 0.5, "lambda_distillation": 2.0}
    method, logged = built(PSKD(NAMES, encoder, hidden=10, projection=6, **weights))
    monkeypatch.setattr(PSKD, "teacher_epochs", 2)
    monkeypatch.setattr(PSKD, "current_epoch", 2)
    with torch.no_grad():
        method.classes.weight.mul_(3)
    given = batch(images(), features=False)
    found = []
    for part in (method, method.teacher):
        f, logits = method._classify(part, given)
        found.append((array(f), array(logits)))
    (f, logits), (_, told) = found
    rows = array(method.classes.weight)
    likeness = unit(rows) @ unit(rows).T
    prototype = 0.0
    for side in (0, 1):
        own = side == SIDES
        found = smoothed(rows[LABELS[own]] @ f[own].T, np.arange(own.sum()))
        prototype += own.mean() * found
    total = smoothed(logits, LABELS) + 0.5 * prototype + 2 * soft(logits, told * likeness[LABELS])
    assert float(method.training_step(given, 0)) == pytest.approx(total, rel=1e-5)
    monkeypatch.setattr(PSKD, "current_epoch", 1)
    assert float(method.training_step(given, 0)) == pytest.approx(smoothed(told, LABELS), rel=1e-5)
    assert logged["train/loss"] == pytest.approx(smoothed(told, LABELS), rel=1e-5)


def test_unlike_prototypes_keep_the_true_class_of_the_teacher() -> None:
    student, teacher = torch.randn(2, 5, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 3])
    kept = nn.functional.one_hot(labels, 4) * teacher
    found = correlated_distillation_loss(student, teacher, 7 * torch.eye(4), labels)
    assert float(found) == pytest.approx(soft(array(student), array(kept)), rel=1e-6)


class Stages(Callback):
    """Parameters at the end of each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        named = pl_module.named_parameters()
        self.states.append({name: p.detach().clone() for name, p in named})


def quiet(**options: Any) -> Trainer:
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **silent, **options)


def test_pskds_teacher_learns_first_and_then_stands_still() -> None:
    encoder = TimmEncoder("test_vit", "random", size=64)
    method, stages = PSKD(NAMES, encoder, hidden=10, projection=6, teacher_epochs=2), Stages()
    loader = DataLoader([batch(images(), False)] * 2, batch_size=None)
    quiet(max_epochs=5, callbacks=[stages]).fit(method, loader)
    changed = [
        {n.startswith("teacher.") for n, p in now.items() if not torch.equal(p, before[n])}
        for before, now in zip(stages.states, stages.states[1:], strict=False)
    ]
    assert changed == [{True}, {False}, {False}, {False}]


def test_groups_rates_and_decay() -> None:
    encoder = TimmEncoder("test_vit", "random", size=64)
    method = TVT(NAMES, encoder, prototypes=12, hidden=10, projection=6, lr=1e-2, warmup_epochs=1)
    rates: list[list[tuple[float, float]]] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            groups = trainer.optimizers[0].param_groups
            rates.append([(g["lr"], g["weight_decay"]) for g in groups])

    loader = DataLoader([batch(images(), False)] * 4, batch_size=None)
    trainer = quiet(max_epochs=10, accumulate_grad_batches=2, callbacks=[Watch()])
    trainer.fit(method, loader)
    lengths = [len(group["params"]) for group in trainer.optimizers[0].param_groups]
    assert sum(lengths) == sum(p.requires_grad for p in method.parameters())
    np.testing.assert_allclose(rates[1], [(0, 0), (0, 0.04), (0, 0), (0, 0.04)])  # heads first
    assert rates[3][0][0] == pytest.approx(1e-2)
    assert rates[3][2][0] == pytest.approx(1e-3)
    heads = [groups[0][0] for groups in rates[3::2]]
    assert heads == sorted(heads, reverse=True)
    decay = [groups[1][1] for groups in rates[1::2]]
    assert decay == sorted(decay)
    assert 0.38 < decay[-1] < 0.4
    assert {groups[at][1] for groups in rates for at in (0, 2)} == {0.0}
    assert not method.encoder.training
    assert method.project.training


@pytest.mark.slow
def test_the_sketch_teacher_is_the_first_run(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--model.hidden", "16", "--model.projection", "8", "--data.num_workers", "0"]
    shared = [
        *("--model.encoder", "TimmEncoder", "--model.encoder.name", "test_vit"),
        *("--model.encoder.pretrained", "random", "--model.encoder.size", "64", *small),
        *("--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split", "random:2:0"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path / "runs")),
        *("--trainer.max_epochs", "1", "--data.batch_size", "12", "--grids.queries", "0"),
    ]
    first = main(["fit", "--model", "SelfDistillation", "--model.prototypes", "20", *shared])
    run = first.trainer.log_dir
    teacher = ("--model.sketch_teacher", "TrainedEncoder", "--model.sketch_teacher.pretrained", run)
    second = main(["fit", "--model", "TVT", *teacher, *shared])
    method = second.model
    x = images()
    with torch.no_grad():
        torch.testing.assert_close(
            method.teachers["sketch"](x, "sketch"), first.model.eval().embed(x, "sketch")
        )
        assert torch.equal(
            method.told["photo"].prototypes.weight, first.model.head.prototypes.weight
        )
    saved = torch.load(f"{second.trainer.log_dir}/checkpoints/last.ckpt", weights_only=True)
    assert not [n for n in saved["state_dict"] if n.startswith(("teachers.", "sketch_teacher."))]
    assert "sketch_teacher" not in saved["hyper_parameters"]
    assert {*first.model.training_classes} <= {*saved["training_classes"]}
    path = f"{second.trainer.log_dir}/checkpoints/last.ckpt"
    # Search does without it; going on does not, and another one will not do.
    assert sketchclip.from_pretrained(second.trainer.log_dir).dim == method.encoder.dim
    with pytest.raises(SystemExit):
        main(["fit", "--model", "TVT", *shared, "--trainer.max_epochs=2", "--ckpt_path", path])
    assert f"'sketch_teacher': '{method.sketch_teacher.pretrained}'" in capsys.readouterr().err


def test_self_distillation_fits_a_teacher_that_stands_still() -> None:
    encoder = TimmEncoder("test_vit", "random", size=64)
    method, losses = SelfDistillation(encoder, None, 24, 64, 64, momentum=1.0, lr=1e-3), []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            losses.append(float(trainer.callback_metrics["loss"]))

    before = copy.deepcopy(method.encoder.state_dict())
    loader = DataLoader([batch(images(), False)], batch_size=None)
    quiet(max_epochs=60, callbacks=[Watch()]).fit(method, loader)
    assert np.mean(losses[-10:]) < np.mean(losses[25:35])  # when the centre has settled
    for name, tensor in method.encoder.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_self_distillation_needs_an_encoder_that_trains() -> None:
    with pytest.raises(SketchClipError, match="frozen false"):
        SelfDistillation(TimmEncoder("test_vit", "random", frozen=True))


def test_crops_lie_within_their_image() -> None:
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32).contiguous()
    crops = random_crops(ramp, torch.Generator().manual_seed(0), (0.2, 0.5))
    assert crops.shape == ramp.shape
    assert 0 <= crops.min() <= crops.max() <= 1
    across = (crops[..., -1] - crops[..., 0]).abs().mean((1, 2))  # part of the width
    assert 0.3 < across.min() < across.max() < 0.9
    left = crops[:, 0, 0, 0] < crops[:, 0, 0, -1]
    assert 0.3 < left.float().mean() < 0.7
    again = random_crops(ramp, torch.Generator().manual_seed(0), (0.2, 0.5))
    assert torch.equal(crops, again)
    whole = random_crops(ramp, torch.Generator().manual_seed(0), (1.0, 1.0))
    assert whole.shape == ramp.shape


ROWS = torch.nn.functional.normalize(
    torch.randn(7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64), dim=1
)
CLASSES = torch.tensor([0, 1, 1, 0, 2, 2, 0])


def moved(rows: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any, torch.Tensor]:
    rows = rows.clone().requires_grad_()
    classes, teacher = ClassCentres(4, 5).double(), TeacherCentres(5).double()
    classes.centres[1, 2:] = 0.5
    for side in (0, 1, 0):
        loss = centre_alignment_loss(*classes.update(rows, labels, side))
        teacher.update(rows.detach(), side)
    loss.backward()
    assert rows.grad is not None
    return classes, teacher, rows.grad


def one_of_two(rank: int, folder: str) -> None:
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    mine = slice(0, 5) if rank == 0 else slice(5, 7)
    classes, teacher, gradient = moved(ROWS[mine], CLASSES[mine])
    torch.save((classes.centres, teacher.means, gradient), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.ddp
def test_centres_are_those_of_all_processes(tmp_path: Path) -> None:
    classes, teacher, gradient = moved(ROWS, CLASSES)
    mp.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    torch.testing.assert_close(first[0], classes.centres)
    torch.testing.assert_close(first[1], teacher.means)
    # DistributedDataParallel takes the mean over processes.
    torch.testing.assert_close(torch.cat([first[2], second[2]]) / 2, gradient)
