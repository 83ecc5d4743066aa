"""Weights that a gradient step moves for a while, and the decoders that they adapt by."""

import itertools
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sketchclip.encoders import TimmEncoder
from sketchclip.errors import SketchClipError
from sketchclip.losses import stroke_loss
from sketchclip.nn import (
    EdgeDecoder,
    StrokeDecoder,
    adapt_each,
    adapt_to_all,
    differentiable_twice,
    gradient_step,
    parameter_names,
    pen_states,
    sobel_edges,
)


def strokes(generator: torch.Generator, lengths: list[int], points: int) -> Tensor:
    """Random strokes with ends of lines, padded."""
    found = torch.rand(len(lengths), points, 3, generator=generator)
    found[..., 2] = (found[..., 2] > 0.7).float()
    for row, length in zip(found, lengths, strict=True):
        row[length - 1, 2] = 1
        row[length:] = torch.tensor([0.0, 0.0, -1.0])
    return found


@pytest.fixture
def noise() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("vgg16", "net.features.28.weight", "net.features.28.bias"),
        ("resnet18", "net.layer4.1.conv1.weight", "net.layer4.1.bn2.bias"),
        ("test_resnet", "net.layer4.0.conv1.weight", "net.layer4.0.downsample.2.bias"),
        ("test_vit", "net.blocks.5.norm1.weight", "net.blocks.5.mlp.fc2.bias"),
    ],
)
def test_the_last_block_is_found_by_its_place(name: str, first: str, last: str) -> None:
    with torch.device("meta"):
        encoder = nn.Module()
        encoder.net = timm.create_model(name)
    found = parameter_names(encoder, "last_block")
    assert (found[0], found[-1]) == (first, last)
    assert parameter_names(encoder, "all") == [n for n, _ in encoder.named_parameters()]
    prefix = last.rpartition(".")[0] + "."
    assert parameter_names(encoder, prefix)[-1] == last


def test_a_network_without_rows_says_what_to_type() -> None:
    network = nn.Module()
    network.only = nn.Linear(2, 2)
    with pytest.raises(SketchClipError, match=r"found only.weight.*--model.adapt layer"):
        parameter_names(network, "last_block")
    with pytest.raises(SketchClipError, match="adapt=nothing"):
        parameter_names(network, "nothing")


def test_a_step_is_differentiated_through() -> None:
    # L(w) = a w^2 / 2, so w' = w (1 - rate a), and d w'^2 / d a = -2 w'^2 rate / (1 - rate a) ...
    w, a, rate = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, 2.0, 0.1))
    moved = gradient_step(a * w**2 / 2, {"w": w}, rate)["w"]
    assert float(moved.detach()) == pytest.approx(3 * 0.8)
    found = torch.autograd.grad(moved**2, (w, a, rate))
    expected = (2 * 2.4 * 0.8, 2 * 2.4 * -0.3, 2 * 2.4 * -6.0)
    assert [float(g) for g in found] == pytest.approx(expected)
    constant = gradient_step(a * w**2 / 2, {"w": w}, rate, first_order=True)["w"]
    one, none = torch.autograd.grad(constant**2, (w, a), allow_unused=True)
    assert (float(one), none) == (pytest.approx(2 * 2.4), None)


def small() -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()
    return net, {name: p.detach() for name, p in net.named_parameters()}


def test_each_sample_adapts_as_if_it_were_alone(noise: torch.Generator) -> None:
    net, weights = small()
    inputs = torch.randn(7, 5, generator=noise, dtype=torch.float64)
    targets = torch.randn(7, 4, generator=noise, dtype=torch.float64)

    def loss(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(net, own, (x,)) - y).square().mean()

    def embed(own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional_call(net, own, (x,))

    options: tuple[Any, ...] = (weights, (inputs, targets), 0.3, 4)
    together = [adapt_each(loss, embed, *options, at_once=n) for n in (1, 3, 16)]
    for row in range(7):
        own = {name: w.clone().requires_grad_() for name, w in weights.items()}
        x, y = inputs[row : row + 1], targets[row : row + 1]
        for _ in range(4):  # plain autograd, one query after another
            found = torch.autograd.grad(loss(own, x, y), [*own.values()])
            moved = [w - 0.3 * g for w, g in zip(own.values(), found, strict=True)]
            own = {n: w.detach().requires_grad_() for n, w in zip(own, moved, strict=True)}
        for all_of_them in together:
            torch.testing.assert_close(all_of_them[row], embed(own, x, y)[0].detach())
    assert not torch.equal(together[0], net(inputs))


def test_a_gallery_counts_as_a_whole_however_it_is_batched(noise: torch.Generator) -> None:
    net, weights = small()
    inputs = torch.randn(10, 5, generator=noise, dtype=torch.float64)

    def loss(own: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(net, own, (x,)).square().mean()

    found = [
        adapt_to_all(loss, weights, lambda n=n: ((x,) for x in inputs.split(n)), 0.2, 3)
        for n in (3, 10)
    ]
    for name, weight in found[0].items():
        torch.testing.assert_close(weight, found[1][name])
        assert not torch.equal(weight, weights[name])
    assert adapt_to_all(loss, weights, lambda: iter(()), 0.2, 2).keys() == weights.keys()


def test_the_written_out_gru_is_torchs(noise: torch.Generator) -> None:
    torch.manual_seed(0)
    decoder, drawn = StrokeDecoder(6, 9), strokes(noise, [8, 3], 8)
    feature = torch.randn(2, 6, generator=noise)
    gru = nn.GRU(11, 9, batch_first=True)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    gru.load_state_dict({f"{n}_l0": getattr(decoder.cell, n) for n in names})
    told = torch.zeros(2, 8, 11)
    for b, t in itertools.product(range(2), range(8)):
        told[b, t, :6] = feature[b]
        if t:
            told[b, t, 6:8] = drawn[b, t - 1, :2]
            told[b, t, 8 + [0, 1, -1].index(int(drawn[b, t - 1, 2]))] = 1
    expected = decoder.out(gru(told)[0])
    points, pens = decoder(feature, drawn)
    torch.testing.assert_close(torch.cat([points, pens], 2), expected)


def test_the_loss_of_strokes_is_its_equation(noise: torch.Generator) -> None:
    true, points = strokes(noise, [6, 2, 4], 6), torch.randn(3, 6, 2, generator=noise)
    pens, eta = torch.randn(3, 6, 3, generator=noise), torch.rand(6, generator=noise)
    total = 0.0
    for b in range(3):
        drawn, entropy = [], []
        for t in range(6):
            logits = pens[b, t].double().numpy()
            state = [0, 1, -1].index(int(true[b, t, 2]))
            if t == 0 or true[b, t - 1, 2] >= 0:  # a point, or the end behind the last one
                entropy.append(np.log(np.exp(logits).sum()) - logits[state])
            if true[b, t, 2] >= 0:
                away = points[b, t].double().numpy() - true[b, t, :2].double().numpy()
                drawn.append(float(eta[t]) * float(away @ away))
        total += np.mean(drawn) + np.mean(entropy)
    found = stroke_loss(points, pens, true, pen_states(true), eta)
    assert float(found) == pytest.approx(total / 3, rel=1e-5)


def test_edges_are_where_sobel_finds_them(noise: torch.Generator) -> None:
    grey = torch.rand(2, 1, 8, 8, generator=noise)
    grey[1] = 0.5
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    around = np.pad(grey[0, 0].double().numpy(), 1, mode="edge")
    lengths = np.empty((8, 8))
    for y, x in itertools.product(range(8), range(8)):
        window = around[y : y + 3, x : x + 3]
        lengths[y, x] = np.hypot((kernel * window).sum(), (kernel.T * window).sum())
    expected = lengths.reshape(4, 2, 4, 2).mean((1, 3))
    found = sobel_edges(grey, 4)
    np.testing.assert_allclose(found[0, 0].numpy(), expected / expected.max(), atol=1e-5)
    assert found[1].abs().max() == 0
    assert EdgeDecoder(5, 16)(torch.randn(3, 5)).shape == (3, 1, 16, 16)


def test_attention_has_a_second_derivative_and_the_setting_comes_back() -> None:
    encoder = TimmEncoder("test_vit", "random", size=32).eval()
    names = parameter_names(encoder, "last_block")
    weights = {name: encoder.get_parameter(name) for name in names}
    images = torch.randn(2, 3, encoder.image_size, encoder.image_size)
    before = torch.backends.mha.get_fastpath_enabled()
    with differentiable_twice():
        moved = gradient_step(encoder(images, "photo").square().mean(), weights, 0.1)
        functional_call(encoder, moved, (images, "photo")).sum().backward()
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert all(weight.grad is not None for weight in weights.values())
