"""SEM-PCYC's step: that of its released code, with its noise, and everything in a checkpoint."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data_modules.batch import TrainingBatch
from sketchclip.checkpoint import own_names
from sketchclip.losses import lsgan_loss
from sketchclip.methods import SEMPCYC
from sketchclip.nn import Discriminator, Generator, SemanticAutoencoder, call_constant
from tests.sketchclip.parity.test_sem_pcyc import Features, Noise

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
QUIET = {
    **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False},
    **{"enable_model_summary": False, "accelerator": "cpu"},
}


def make(**changes: Any) -> SEMPCYC:
    torch.manual_seed(0)
    method = SEMPCYC(["cat", "dog", "tree"], Features(9), Noise(7), dim=4, **changes)
    method.build_training_parts()
    method._training_parts_built = True
    return method


def still(method: SEMPCYC) -> SEMPCYC:
    """Take the randomness out of a method in training mode, in fp64."""
    for part in method.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, Discriminator):
            part.noise = 0.0
    return method.double().train()


def batches(count: int) -> list[TrainingBatch]:
    noise = torch.Generator().manual_seed(3)
    pairs = torch.randn(count, 2, len(LABELS), 9, generator=noise, dtype=torch.float64)
    return [TrainingBatch(*pair, None, LABELS, features=True) for pair in pairs]


def game(scores: Tensor, label: float) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, label))


def step_in_turn(m: SEMPCYC, batch: TrainingBatch, optimizers: Any) -> None:
    """Step after each of three backwards, discriminators being live in the generators' loss."""
    generators, discriminators, autoencoder = optimizers
    source, judge = torch.Generator(), m.discriminators
    s, p, words = batch.sketch, batch.photo, m.vectors[batch.label]
    code, rebuilt = m.autoencoder(words)
    c = code.detach()
    s_code, p_code = m.to_code["sketch"](s), m.to_code["photo"](p)
    s_made, p_made = m.to_features["sketch"](c), m.to_features["photo"](c)
    s_back, p_back = m.to_features["sketch"](s_code), m.to_features["photo"](p_code)
    s_round, p_round = m.to_code["sketch"](s_made), m.to_code["photo"](p_made)

    matrix = m.autoencoder.down.weight
    lengths = torch.stack([column.norm() for column in matrix.T]).sum()
    autoencoder.zero_grad()
    (F.mse_loss(rebuilt, words) + 1e-3 * lengths / len(words)).backward()
    autoencoder.step()

    loss = sum(game(judge["semantic"](x, source), 0.9) for x in (p_code, s_code))
    loss += game(judge["sketch"](s_made, source), 0.9) + game(judge["photo"](p_made, source), 0.9)
    cycles = ((s_back, s), (p_back, p), (s_round, c), (p_round, c))
    loss += 10 * sum(F.l1_loss(x, y) for x, y in cycles)
    read = (("semantic", s_code), ("semantic", p_code), ("sketch", s_made), ("photo", p_made))
    loss += 10 * sum(F.cross_entropy(m.classifiers[n](x), batch.label) for n, x in read)
    loss += 2 * F.mse_loss(s_code, p_code) + F.mse_loss(s_made, s) + F.mse_loss(p_made, p)
    generators.zero_grad()
    loss.backward()
    generators.step()

    discriminators.zero_grad()
    loss = 0.5 * game(judge["semantic"](c, source), 0.9)
    for x in (p_code, s_code):
        loss = loss + 0.25 * game(judge["semantic"](x.detach(), source), 0.1)
    for name, real, made in (("sketch", s, s_made), ("photo", p, p_made)):
        loss = loss + 0.5 * game(judge[name](real, source), 0.9)
        loss = loss + 0.5 * game(judge[name](made.detach(), source), 0.1)
    loss.backward()
    discriminators.step()


def test_one_backward_gives_the_steps_of_three_in_turn() -> None:
    rates = {"lr": 1e-2, "discriminator_lr": 0.5, "autoencoder_lr": 0.5}
    ours = still(make(real_labels=(0.9, 0.9), fake_labels=(0.1, 0.1), **rates))
    theirs = copy.deepcopy(ours)
    before = copy.deepcopy(ours.state_dict())
    given = batches(3)
    Trainer(max_epochs=1, **QUIET).fit(ours, DataLoader(given, batch_size=None))
    optimizers = theirs.configure_optimizers()
    for batch in given:
        step_in_turn(theirs, batch, optimizers)
    trained = {name for name, p in ours.named_parameters() if p.requires_grad}
    for name, expected in theirs.state_dict().items():
        found = ours.state_dict()[name]
        # Adam makes steps of rounding errors, which are all that biases before BatchNorm get.
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7, msg=name)
        statistics = "running" in name or "tracked" in name
        if statistics or (name in trained and name.endswith("weight")):
            assert not torch.equal(found, before[name]), name


@pytest.mark.parametrize("term", ["cycle", "cls", "regression"])
def test_each_term_falls_where_it_is_the_only_one(term: str) -> None:
    weights = {f"lambda_{n}": float(n == term) for n in ("adversarial", "cycle", "cls")}
    method = still(make(lr=1e-2, lambda_regression=float(term == "regression"), **weights))
    (batch,) = batches(1)
    features = {"sketch": batch.sketch, "photo": batch.photo}

    def losses() -> dict[str, Tensor]:
        return method.losses(features, method.vectors[LABELS], LABELS, torch.Generator())

    before = losses()
    Trainer(max_epochs=1, **QUIET).fit(method, DataLoader([batch] * 100, batch_size=None))
    after = losses()
    for name in (term, "autoencoder"):
        assert after[f"train/{name}"] < 0.9 * before[f"train/{name}"], name


def test_randomness_is_that_of_the_step() -> None:
    method = make()
    method.double().train()
    (batch,) = batches(1)
    features = {"sketch": batch.sketch, "photo": batch.photo}
    runs = []
    for number in (0, 0, 1):
        torch.manual_seed(2)
        draws = method.draws(number)
        runs.append(method.losses(features, method.vectors[LABELS], LABELS, draws))
    for name, value in runs[0].items():
        assert torch.equal(value, runs[1][name]), name
        random = name.startswith(("train/discriminator", "train/adversarial"))
        assert torch.equal(value, runs[2][name]) is not random, name


@pytest.mark.parametrize("labels", [(0.7, 1.0), (0.0, 0.3), (0.5, 0.5)])
def test_labels_of_a_game_are_uniform(labels: tuple[float, float]) -> None:
    scores = torch.linspace(-1, 2, 4000)
    found = float(lsgan_loss(scores, labels, torch.Generator().manual_seed(0)))
    drawn = torch.rand(4000, generator=torch.Generator().manual_seed(0)).numpy()
    expected = scores.numpy() - (labels[0] + (labels[1] - labels[0]) * drawn)
    assert found == pytest.approx(float(np.mean(expected.astype(np.float64) ** 2)), rel=1e-5)


def test_a_discriminator_reads_noise_in_training_alone() -> None:
    block = Discriminator(6)
    read: list[Tensor] = []
    block.layers.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x = torch.ones(2000, 6)
    for mode in (True, False):
        assert block.train(mode)(x, torch.Generator().manual_seed(0)).shape == (2000,)
    assert float(read[0].std()) == pytest.approx(0.3, rel=0.03)
    assert float(read[0].mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(read[1], x)


def test_a_constant_network_passes_gradients_on_and_sees_the_batch() -> None:
    block = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    live = copy.deepcopy(block)
    x = torch.randn(5, 3, requires_grad=True)
    weights = torch.randn(5, 2)
    found = torch.autograd.grad((call_constant(block, x) * weights).sum(), x)[0]
    expected = torch.autograd.grad((live(x) * weights).sum(), x)[0]
    torch.testing.assert_close(found, expected)
    assert torch.equal(block[1].running_mean, live[1].running_mean)
    assert block[1].num_batches_tracked == 1
    call_constant(block, x).sum().backward()
    assert all(p.grad is None for p in block.parameters())


def test_widths_of_the_blocks() -> None:
    linear = [part for part in Generator(9, 4) if isinstance(part, nn.Linear)]
    assert [part.out_features for part in linear] == [6, 6, 4]
    assert sum(isinstance(part, nn.Dropout) for part in Generator(9, 4)) == 2
    narrow = Discriminator(1).layers
    assert [part.out_features for part in narrow if isinstance(part, nn.Linear)] == [1, 1, 1]


def test_the_autoencoder_cannot_rebuild_what_is_negative() -> None:
    block = SemanticAutoencoder(5, 3)
    words = torch.randn(4, 5)
    code, rebuilt = block(words)
    matrix, bias = (p.detach().double().numpy() for p in block.down.parameters())
    expected = np.maximum(words.double().numpy() @ matrix.T + bias, 0)
    np.testing.assert_allclose(code.detach().numpy(), expected, atol=1e-6)
    assert rebuilt.min() >= 0
    lengths = np.sqrt((matrix**2).sum(axis=0)).sum()
    assert float(block.column_norms().detach()) == pytest.approx(float(lengths), rel=1e-6)


def test_frozen_random_classifiers_are_kept_and_not_trained() -> None:
    method = make()
    frozen = {n for n, p in method.named_parameters() if not p.requires_grad}
    assert frozen == {f"classifiers.{name}.weight" for name in ("semantic", "sketch", "photo")}
    assert frozen <= {*own_names(method)}
    held = [p for o in method.configure_optimizers() for g in o.param_groups for p in g["params"]]
    trained = [id(p) for p in method.parameters() if p.requires_grad]
    assert sorted(map(id, held)) == sorted(trained)
