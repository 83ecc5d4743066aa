"""Cross-GRAD and CC-DG: each loss against NumPy from the equations, and what they promise."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from data_modules.batch import TrainingBatch
from sketchclip.encoders import ImageEncoder, TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import code_entropies, reconstruction_ranking_loss
from sketchclip.methods import CCDG, CrossGrad
from sketchclip.metrics import retrieval_scores

LABELS = torch.tensor([0, 0, 1, 2])
SIZE = 32


def encoder(frozen: bool) -> TimmEncoder:
    torch.manual_seed(1)
    return TimmEncoder("test_vit", "random", frozen=frozen, size=SIZE)


def numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def triplet(s: np.ndarray, p: np.ndarray, n: np.ndarray, margin: float) -> float:
    return float(np.maximum(0, margin + distances(s, p) - distances(s, n)).mean())


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].mean())


class CrossGradStep(CrossGrad):
    """Takes one step by itself; keeps what it logs and what it moves."""

    def manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        return self.steppers

    def log_losses(self, losses: dict[str, torch.Tensor], batch_size: int) -> None:
        self.losses = {name: float(value) for name, value in losses.items()}

    def perturb(self, images: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
        moved = super().perturb(images, loss)
        self.moves.append((images.detach(), moved))
        return moved


def cross_grad(frozen: bool = False, **settings: Any) -> CrossGradStep:
    torch.manual_seed(2)
    method = CrossGradStep(["a", "b", "c"], encoder(frozen), dim=8, **settings)
    method.build_training_parts()
    torch.nn.init.normal_(method.domain_head.weight)
    method.moves, method.steppers = [], method.configure_optimizers()
    return method.train()


def images(seed: int = 0) -> TrainingBatch:
    drawn = torch.randn(3, 4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return TrainingBatch(*drawn, LABELS, torch.arange(4))


def slopes(method: CrossGrad, batch: TrainingBatch, loss: str) -> torch.Tensor:
    """Gradient of a loss with respect to the three images of each triplet."""
    parts = (batch.sketch, batch.photo, batch.negative)
    s, p, n = leaves = [part.clone().requires_grad_() for part in parts]
    if loss == "label":
        value = torch.nn.functional.triplet_margin_with_distance_loss(
            method.embed(s, "sketch"),
            *(method.embed(x, "photo") for x in (p, n)),
            distance_function=lambda a, b: 1 - torch.cosine_similarity(a, b),
            margin=method.hparams.margin,
        )
    else:
        net = method.encoder if method.encoder.frozen else method.domain_encoder
        logits = [method.domain_head(net(x, "photo")) for x in leaves]
        each = [torch.nn.functional.cross_entropy(found, LABELS) for found in logits]
        value = torch.stack(each).mean()
    return torch.cat(torch.autograd.grad(value, leaves))


@pytest.mark.parametrize("frozen", [False, True])
def test_cross_grad_takes_the_losses_of_the_paper(frozen: bool) -> None:
    settings = {"eps": 10.0, "clamp": 0.001, "alpha_label": 0.3, "alpha_domain": 0.8, "margin": 0.4}
    method, batch = cross_grad(frozen, **settings), images()
    x = torch.cat([batch.sketch, batch.photo, batch.negative])
    labels = LABELS.repeat(3).numpy()
    domain_net = method.encoder if frozen else method.domain_encoder

    def label_loss(values: torch.Tensor) -> float:
        rows = numpy(method.encoder(values, "photo")) @ numpy(method.head.weight).T
        return triplet(*np.split(rows + numpy(method.head.bias), 3), 0.4)

    def domain_loss(values: torch.Tensor) -> float:
        rows = numpy(domain_net(values, "photo")) @ numpy(method.domain_head.weight).T
        return cross_entropy(rows + numpy(method.domain_head.bias), labels)

    moved = {
        name: x + 10 * slopes(method, batch, name).clamp(-0.001, 0.001)
        for name in ("label", "domain")
    }
    expected = {
        "train/label": label_loss(x),
        "train/domain": domain_loss(x),
        "train/moved_label": label_loss(moved["domain"]),
        "train/moved_domain": domain_loss(moved["label"]),
    }
    expected["train/loss"] = (
        0.7 * expected["train/label"]
        + 0.3 * expected["train/moved_label"]
        + 0.2 * expected["train/domain"]
        + 0.8 * expected["train/moved_domain"]
    )
    method.training_step(batch, 0)
    assert method.losses == pytest.approx(expected, abs=1e-4)
    assert abs(expected["train/moved_domain"] - expected["train/domain"]) > 1e-4
    assert method.losses["train/moved_label"] != method.losses["train/label"]


@pytest.mark.parametrize("eps", [1.0, 10.0])
def test_images_move_by_at_most_eps_times_the_clamp(eps: float) -> None:
    method = cross_grad(eps=eps)
    torch.nn.init.normal_(method.domain_head.weight, std=1e4)  # gradients beyond the clamp
    method.training_step(images(), 0)
    assert len(method.moves) == 2
    for before, after in method.moves:
        assert not after.requires_grad
        assert 0 < (after - before).abs().max() <= eps * 0.1 + 1e-5
    assert method.moves[0][1].sub(method.moves[0][0]).abs().max() == pytest.approx(eps * 0.1, 1e-3)


def test_one_step_is_that_of_both_networks_in_turn() -> None:
    """As the paper has it: the label network's step, then the domain network's."""
    method, batch = cross_grad(), images()
    turns = cross_grad()
    turns.load_state_dict(method.state_dict())
    method.training_step(batch, 0)
    x = torch.cat([batch.sketch, batch.photo, batch.negative])
    sides, labels = torch.tensor([0] * 4 + [1] * 8), LABELS.repeat(3)
    moved = {name: x + slopes(turns, batch, name).clamp(-0.1, 0.1) for name in ("label", "domain")}
    label, domain = turns.steppers
    loss = turns.label_loss(x, sides) / 2 + turns.label_loss(moved["domain"], sides) / 2
    loss.backward()
    label.step()
    terms = (turns.domain_loss(values, sides, labels) / 2 for values in (x, moved["label"]))
    torch.stack([*terms]).sum().backward()
    domain.step()
    for (name, one), two in zip(method.named_parameters(), turns.parameters(), strict=True):
        torch.testing.assert_close(one, two, msg=name, atol=1e-5, rtol=1e-4)


def test_behind_a_frozen_encoder_the_layers_alone_train_on_images() -> None:
    method = cross_grad(frozen=True)
    names = {name for name, p in method.named_parameters() if p.requires_grad}
    assert names == {"head.weight", "head.bias", "domain_head.weight", "domain_head.bias"}
    assert method.batch_spec.features is None


class Rounded(ImageEncoder):
    """An encoder whose steps have no gradient."""

    frozen, dim, image_size, interpolation = True, 3, SIZE, "bicubic"
    mean = std = (0.5, 0.5, 0.5)
    origin = {"name": "rounded", "pretrained": "none", "hash": "0"}  # noqa: RUF012

    def forward(self, images: torch.Tensor, side: Any) -> torch.Tensor:
        return torch.where(images.mean((2, 3)) > 0, 1.0, -1.0)


def test_an_encoder_without_gradient_is_refused() -> None:
    method = CrossGradStep(["a", "b", "c"], Rounded(), dim=8)
    method.build_training_parts()
    with pytest.raises(SketchClipError, match="no gradient with respect to images"):
        method.training_step(images(), 0)


def cc_dg(frozen: bool = True, **settings: Any) -> CCDG:
    torch.manual_seed(3)
    method = CCDG(encoder(frozen), **{"dim": 6, "traits": 5, "hidden": 7, "rank": 3, **settings})
    torch.nn.init.normal_(method.layer.left.weight)
    method._trainer = None
    return method.eval()


def codes(method: CCDG, features: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    first, _, second = method.traits.encoder
    x = features / np.linalg.norm(features, axis=1, keepdims=True) * features.shape[1] ** 0.5
    x = np.maximum(0, x @ numpy(first.weight).T + numpy(first.bias))
    logits = x @ numpy(second.weight).T + numpy(second.bias) + noise
    shares = np.exp((logits - logits.max(1, keepdims=True)) / method.hparams.temperature)
    return shares / shares.sum(1, keepdims=True)


def embedded(method: CCDG, features: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Each row by the matrix of its own code."""
    names = ("base", "left", "factors", "right")
    w, p, q, r = (numpy(getattr(method.layer, name).weight) for name in names)
    matrices = [w + p @ np.diag(q @ v) @ r for v in code]
    return np.stack([m @ x for m, x in zip(matrices, features, strict=True)])


def test_cc_dg_takes_the_losses_that_its_docstring_has() -> None:
    settings = {"temperature": 0.7, "trait_margin": 0.5, "lambda_sample": 0.3}
    method = cc_dg(**settings, lambda_batch=0.2, margin=0.4)
    given = torch.randn(3, 4, method.encoder.dim)
    batch = TrainingBatch(*given, LABELS, torch.arange(4), features=True)
    noise = torch.empty(4, 5).exponential_(generator=torch.Generator().manual_seed(9))
    method.draws = lambda batch_idx: torch.Generator().manual_seed(9)
    logged: dict[str, float] = {}
    method.log_losses = lambda found, size: logged.update({n: float(v) for n, v in found.items()})
    loss = method.training_step(batch, 0)

    s, p, n = (numpy(part) for part in given)
    sample, code = codes(method, s, -np.log(numpy(noise))), codes(method, s)
    decoder = method.traits.decoder
    rebuilt = sample @ numpy(decoder.weight).T + numpy(decoder.bias)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    gaps = [0.5 + distances(rebuilt[i], s[i]) - distances(rebuilt[i], s[j]) for i, j in pairs]
    ranking = float(np.maximum(0, gaps).mean())
    of_each = float(-(code * np.log(code)).sum(1).mean())
    mean = code.mean(0)
    of_all = float(-(mean * np.log(mean)).sum())
    hinge = triplet(*(embedded(method, x, code) for x in (s, p, n)), 0.4)
    expected = {"train/ranking": ranking, "train/entropy": of_each, "train/batch_entropy": of_all}
    expected |= {"train/triplet": hinge}
    expected["train/loss"] = ranking + 0.3 * of_each - 0.2 * of_all + hinge
    assert logged == pytest.approx(expected, abs=1e-5)
    assert float(loss) == pytest.approx(expected["train/loss"], abs=1e-5)
    loss.backward()
    through = torch.autograd.grad  # of the triplets alone: none reaches the trait network
    features = given[0].clone()
    only = method.layer(features, method.traits(features).detach()).sum()
    assert through(only, [*method.traits.parameters()], allow_unused=True) == (None,) * 6


def test_losses_of_codes_at_their_ends() -> None:
    assert reconstruction_ranking_loss(torch.randn(1, 4), torch.randn(1, 4)) == 0
    sure = torch.eye(3).requires_grad_()
    of_each, of_all = code_entropies(sure)
    (of_each - of_all).backward()
    assert torch.isfinite(sure.grad).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_the_gallery_is_scored_as_if_embedded_for_each_sketch(frozen: bool) -> None:
    method = cc_dg(frozen)
    torch.nn.init.normal_(method.traits.encoder[2].weight, std=5.0)  # codes that differ
    sketches, photos = torch.randn(5, 3, SIZE, SIZE), torch.randn(9, 3, SIZE, SIZE)
    with torch.no_grad():
        if not frozen:  # what trains moves away from what the trait network reads
            for parameter in method.encoder.parameters():
                parameter.mul_(1.1)
        queries, gallery = method.query_state(sketches), method.gallery_state(photos)
        scores = method.score(queries, gallery)
        trait_net = method.encoder if frozen else method.trait_encoder
        code = codes(method, numpy(trait_net(sketches, "sketch")))
        g, x = numpy(method.encoder(sketches, "sketch")), numpy(method.encoder(photos, "photo"))
    assert np.ptp(code, axis=0).max() > 0.1
    for row, (own, v) in enumerate(zip(g, code, strict=True)):
        whole = embedded(method, x, np.tile(v, (len(x), 1)))
        naive = 1 - distances(embedded(method, own[None], v[None]), whole)
        np.testing.assert_allclose(scores[row], naive, atol=1e-5)
        alone = method.score(queries[row : row + 1], gallery)[0]
        torch.testing.assert_close(alone, scores[row], atol=1e-6, rtol=1e-5)


def test_states_of_two_widths_are_ranked_and_searched() -> None:
    method = cc_dg()
    code = torch.softmax(torch.randn(8, 5), 1)
    features, others = torch.randn(8, method.encoder.dim), torch.randn(12, method.encoder.dim)
    labels, classes = torch.arange(8) % 3, torch.arange(12) % 3
    with torch.no_grad():
        queries = torch.cat([method.layer.project(features), code], 1)
        photos = method.layer.project(others)
        values = retrieval_scores(
            queries, labels, photos, classes, score=method.score, nearest=12, targets=labels
        )
        order = method.score(queries, photos).argsort(1, descending=True)
        assert torch.equal(values["nearest"], order)
        with pytest.raises(SketchClipError, match="they must agree"):
            retrieval_scores(queries, labels, photos, classes)
        for state, rows in ((queries, features), (photos, others)):
            mean = np.full((len(state), 5), 0.2)
            expected = embedded(method, numpy(rows), mean)
            np.testing.assert_allclose(method.vector(state), expected, atol=1e-5)


@pytest.mark.parametrize(("epochs", "first"), [(1, 0), (2, 1), (20, 5), (-1, 5)])
def test_the_trait_network_trains_first(epochs: int, first: int) -> None:
    method = cc_dg()
    method._trainer = SimpleNamespace(max_epochs=epochs, world_size=1)
    (optimizer,), (schedule,) = method.configure_optimizers()
    for epoch in range(8):
        traits, rest = schedule.get_last_lr()
        assert traits == (1e-3 if epoch < first or not first else 0)
        assert rest == (1e-4 if epoch >= first else 0)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("frozen", [True, False])
def test_what_the_trait_network_reads_stays_and_is_kept(frozen: bool, tmp_path: Path) -> None:
    method = cc_dg(frozen).train()
    from sketchclip.checkpoint import own_names

    held = [name for name in own_names(method) if name.startswith("trait_encoder.")]
    assert bool(held) is not frozen
    if not frozen:
        assert not method.trait_encoder.training
        assert not any(p.requires_grad for p in method.trait_encoder.parameters())
        assert method.encoder.training
