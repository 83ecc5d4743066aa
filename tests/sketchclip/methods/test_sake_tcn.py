"""SAKE and TCN: their losses against NumPy, schedules, and binary codes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

import sketchclip
from data_modules.batch import ImageBatch, TrainingBatch
from sketchclip.cli import main
from sketchclip.encoders import CSEResNet, TimmEncoder, TwinEncoder
from sketchclip.errors import SketchClipError
from sketchclip.methods import SAKE, TCN, SeenClassClassifier
from sketchclip.semantics import WordVectorFile, imagenet_similarity

NAMES = ["cat", "airplane", "door"]
LABELS = np.array([0, 0, 1, 2, 1])


def array(value: Any) -> np.ndarray:
    return value.detach().double().numpy()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def soft_cross_entropy(logits: np.ndarray, told: np.ndarray) -> float:
    return float(-(np.exp(log_softmax(told)) * log_softmax(logits)).sum(1).mean())


def linear(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ array(layer.weight).T + array(layer.bias)


def built(method: Any) -> tuple[Any, dict[str, float]]:
    torch.manual_seed(0)
    method.build_training_parts()
    logged: dict[str, float] = {}
    method.log_losses = lambda found, size: logged.update({n: float(v) for n, v in found.items()})
    return method.eval(), logged


@pytest.mark.parametrize("hint_weight", [0.3, 0.0])
def test_sake(hint_weight: float) -> None:
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    method = SAKE(NAMES, encoder, dim=8, hint_weight=hint_weight, lambda_kd=0.7, lambda_sake=2.0)
    method, logged = built(method)
    x = torch.randn(5, encoder.dim, generator=torch.Generator().manual_seed(1))
    side = torch.tensor([0, 1, 1, 0, 1])
    labels = torch.from_numpy(LABELS)
    loss = method.training_step(ImageBatch(x, labels, labels, side=side, features=True), 0)
    embedding = linear(method.layer, array(x))
    total = cross_entropy(linear(method.classes, embedding), LABELS)
    photo = side.numpy() == 1
    weight, bias = (array(part) for part in method.encoder.classifier())
    told = 0.7 * (array(x)[photo] @ weight.T + bias)
    told += hint_weight * array(imagenet_similarity(NAMES))[LABELS[photo]]
    total += 2 * soft_cross_entropy(linear(method.past, embedding[photo]), told)
    assert float(loss) == pytest.approx(total, rel=1e-5) == logged["train/loss"]


@pytest.mark.parametrize("dim", [8, 200])
def test_layer_and_head_start_as_the_classifier(dim: int) -> None:
    """At the rank of the classifier its product is the classifier, and less is nearer than zero."""
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    method, _ = built(SAKE(NAMES, encoder, dim=dim, hint_weight=0))
    weight = array(encoder.classifier()[0])
    product = array(method.past.weight) @ array(method.layer.weight)
    apart = np.linalg.norm(product - weight) / np.linalg.norm(weight)
    assert (apart < 1e-5) if dim == 200 else (1e-2 < apart < 1)


def test_the_side_changes_what_sake_sees() -> None:
    method = SAKE(NAMES, CSEResNet("legacy_seresnet18", "random", size=64), dim=4).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(method.embed(images, "sketch"), method.embed(images, "photo"))
        for gate in method.encoder.gates:  # type: ignore[attr-defined]
            gate.fc2.weight[:, -1] += 1
        assert not torch.equal(method.embed(images, "sketch"), method.embed(images, "photo"))


def test_hints_need_imagenets_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    few = (torch.zeros(10, encoder.dim), torch.zeros(10))
    monkeypatch.setattr(TimmEncoder, "classifier", lambda self: few)
    with pytest.raises(SketchClipError, match="hint_weight 0"):
        built(SAKE(NAMES, encoder, dim=4))


@pytest.mark.parametrize("norm", ["shared", "side"])
def test_tcn(norm: Any) -> None:
    encoder = TimmEncoder("test_resnet", "random", size=64)
    vectors = WordVectorFile()
    names = ["cat", "car", "door"]
    method = TCN(names, encoder, True, vectors, dim=8, norm=norm, lambda_kd=0.5, lambda_semantic=3)
    method, logged = built(method)
    assert isinstance(method.encoder, TwinEncoder)
    with torch.no_grad():
        method.encoder.photo_encoder.net.conv1[0].weight += 0.01
        method.encoder.photo_encoder.net.conv1[1].weight += 5  # BatchNorm: not held together
    noise = torch.Generator().manual_seed(1)
    sketch, photo = torch.randn(2, 5, 3, 64, 64, generator=noise)
    labels = torch.from_numpy(LABELS)
    loss = method.training_step(TrainingBatch(sketch, photo, None, labels), 0)

    scale = 1 / np.sqrt(1 + 1e-5)  # BatchNorm as it was built, in evaluation mode
    with torch.no_grad():
        features = [array(method.encoder(sketch, "sketch")), array(method.encoder(photo, "photo"))]
        told = array(method.teacher.encoder(photo, "photo"))
    found = [linear(method.layer, x) * scale for x in features]
    said = sum(cross_entropy(linear(method.classes, e), LABELS) for e in found)
    weight, bias = (array(part) for part in method.encoder.classifier())
    past = soft_cross_entropy(linear(method.past, found[1]), told @ weight.T + bias)
    size = method.encoder.photo_encoder.net.conv1[0].weight.numel()
    coupling = 1000 * 0.01 * np.sqrt(size)

    both, twice = np.concatenate(found), np.concatenate([LABELS, LABELS])
    share = torch.rand(10, 1, generator=method.draws(0)).double().numpy()
    mapped = linear(method.meaning, array(vectors.vectors(names))[twice])
    anchors = share * mapped + (1 - share) * both
    logits = log_softmax(linear(method.classes, anchors))
    certain = 1 + np.exp((np.exp(logits) * logits).sum(1))
    each = []
    for i, anchor in enumerate(anchors):
        apart = np.linalg.norm(anchor - both, axis=1)
        same = twice == twice[i]
        farthest = apart[same & (np.arange(10) != i)].max()
        each.append(np.log1p(np.exp(farthest - apart[~same].min())) * certain[i])
    total = said + 0.5 * past + coupling + 3 * np.mean(each)
    assert logged["train/coupling"] == pytest.approx(coupling, rel=1e-4)
    assert float(loss) == pytest.approx(total, rel=1e-4) == logged["train/loss"]


@pytest.mark.parametrize(("method", "epochs"), [("SAKE", 4), ("TCN", 8)])
def test_the_rate_falls_each_epoch(method: str, epochs: int) -> None:
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    module: LightningModule = {"SAKE": SAKE, "TCN": TCN}[method](NAMES, encoder, dim=4)
    module.trainer = Trainer(max_epochs=4, logger=False, accelerator="cpu")
    configured: Any = module.configure_optimizers()
    (optimizer,), (schedule,) = configured
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, 1e-4 * 0.001 ** (np.arange(4) / epochs))


@pytest.mark.parametrize("method", [SAKE, TCN, SeenClassClassifier])
def test_a_schedule_needs_the_number_of_epochs(method: Any) -> None:
    module = method(NAMES, TimmEncoder("test_resnet", "random", frozen=True), dim=4)
    module.trainer = Trainer(max_steps=5, logger=False, accelerator="cpu")
    with pytest.raises(SketchClipError, match=r"trainer\.max_epochs is None.*Expected 1 or more"):
        module.configure_optimizers()


def test_the_rate_of_the_first_stage_falls_by_two_fifths() -> None:
    module = SeenClassClassifier(NAMES, TimmEncoder("test_resnet", "random"), dim=4)
    module.trainer = Trainer(max_epochs=20, logger=False, accelerator="cpu")
    configured: Any = module.configure_optimizers()
    (optimizer,), (schedule,) = configured
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = np.interp(np.arange(20), [2, 18], [0.01, 0.006])
    np.testing.assert_allclose(rates, expected)


def test_the_first_stage() -> None:
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    method, _ = built(SeenClassClassifier(NAMES, encoder, dim=8))
    with torch.no_grad():
        method.layers["photo"].weight += 0.1
    sketch, photo = torch.randn(2, 5, encoder.dim, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(LABELS)
    loss = method.training_step(TrainingBatch(sketch, photo, None, labels, features=True), 0)
    total = 0.0
    for side, x in (("sketch", sketch), ("photo", photo)):
        embedding = linear(method.layers[side], array(x))
        total += cross_entropy(linear(method.classifiers[side], embedding), LABELS)
    assert float(loss) == pytest.approx(total, rel=1e-5)


def test_a_loaded_layer_is_not_started_again(tmp_path: Path) -> None:
    """Fine-tuning from a checkpoint: what was trained stays."""
    first, _ = built(SAKE(NAMES, TimmEncoder("test_resnet", "random"), dim=4, hint_weight=0))
    checkpoint: dict[str, Any] = {"state_dict": first.state_dict()}
    checkpoint["hyper_parameters"] = dict(first.hparams)
    first.on_save_checkpoint(checkpoint)
    again = SAKE(NAMES, TimmEncoder("test_resnet", "random"), dim=4, hint_weight=0)
    again.on_load_checkpoint(checkpoint)
    again.load_state_dict(checkpoint["state_dict"], strict=False)
    again.build_training_parts()
    assert torch.equal(again.layer.weight, first.layer.weight)
    # A resumed run has its teacher from the weights that it started from.
    other = SAKE(NAMES, TimmEncoder("test_resnet", "random"), dim=4, hint_weight=0)
    other._training_parts_built = True
    with pytest.raises(SketchClipError, match="Training started from"):
        other.on_load_checkpoint(checkpoint)


def test_bits_are_trained_saved_and_ranked_by_hamming(tree: Path, tmp_path: Path) -> None:
    fitted = main([
        *("fit", "--model", "TCN", "--model.encoder", "TimmEncoder"),
        *("--model.encoder.name", "test_resnet", "--model.encoder.pretrained", "random"),
        *("--model.encoder.size", "64", "--model.dim", "16", "--model.bits", "8"),
        *("--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split", "random:2:0"),
        *("--data.num_workers", "0", "--data.batch_size", "6", "--trainer.max_epochs", "1"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path)),
    ])  # fmt: skip
    codes = fitted.model.codes
    assert fitted.model.centres.any(1).all()
    assert fitted.model.similarity == fitted.model.retrieval.similarity == "hamming"
    model = sketchclip.from_pretrained(fitted.trainer.log_dir)
    found = model.photos(sorted(tree.glob("photo/*/*.png")))
    assert found.shape[1] == 8
    assert set(np.unique(found)) == {-1.0, 1.0}
    assert torch.equal(model.module.codes.projection, codes.projection)


def test_codes_are_no_longer_than_embeddings() -> None:
    encoder = TimmEncoder("test_resnet", "random", frozen=True)
    with pytest.raises(SketchClipError, match="1 to 16"):
        SAKE(NAMES, encoder, dim=16, bits=17)
