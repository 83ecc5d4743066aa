"""Divergence, patches and negatives of the fine-grained model, against slow references."""

import itertools
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sketchclip.losses import (
    draw_permutations,
    f_divergence,
    hardest_negatives,
    other_class_positions,
    patch_shuffle,
    permutation_bank,
)
from tests.helpers.references import divergence_reference, hardest_reference, shuffle_reference

DISTANCES = st.floats(-2, 2, width=32)


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Relative distances and labels; classes of unequal size, in any order."""
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    ids = draw(st.permutations(range(3, 12)))[: len(counts)]
    labels = draw(st.permutations([i for i, n in zip(ids, counts, strict=True) for _ in range(n)]))
    delta = draw(hnp.arrays(np.float32, len(labels), elements=DISTANCES))
    return delta, np.array(labels)


@settings(deadline=None, max_examples=80)
@given(batches(), st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from(["as_sampled", "sorted"]))
def test_f_divergence_is_the_papers_formula(batch, temperature, order):
    delta, labels = batch
    ours = f_divergence(torch.from_numpy(delta), torch.from_numpy(labels), temperature, order)
    expected = divergence_reference(delta, labels, temperature, order)
    assert ours.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_f_divergence_of_two_classes_in_numbers():
    """KL between softmax(0, 1) and softmax(0, 3), both ways."""
    p, q = 1 / (1 + math.e), 1 / (1 + math.exp(3))
    kl = [a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in ((p, q), (q, p))]
    loss = f_divergence(torch.tensor([0.0, 1.0, 0.0, 3.0]), torch.tensor([0, 0, 1, 1]))
    assert loss.item() == pytest.approx(sum(kl) / 2, rel=1e-5)


@pytest.mark.parametrize("labels", [[4, 4, 4], [0, 1, 2], [0, 0, 0, 1], [7]], ids=str)
def test_nothing_to_compare_is_a_zero_that_can_be_trained(labels):
    delta = torch.randn(len(labels), requires_grad=True)
    loss = f_divergence(delta, torch.tensor(labels))
    assert loss.item() == 0
    loss.backward()
    assert delta.grad is not None
    assert not delta.grad.any()


def test_f_divergence_knows_the_shape_of_distances_alone():
    delta, labels = torch.randn(12), torch.arange(12) % 3
    loss = f_divergence(delta, labels)
    assert loss > 0.01
    torch.testing.assert_close(f_divergence(delta + 5.0 * labels, labels), loss)
    equal = torch.randn(4).repeat_interleave(3) + labels
    assert f_divergence(equal, labels).item() == pytest.approx(0, abs=1e-6)
    reordered = torch.cat([equal[:3], equal[3:].flip(0)])  # equal in sorted order alone
    assert f_divergence(reordered, labels.repeat(1)).item() > 0.01


def test_gradients_of_f_divergence_are_finite_and_right():
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    far = torch.tensor([-2.0, 2.0, 2.0, -2.0, 0.0, 0.0], requires_grad=True)
    f_divergence(far, labels, temperature=0.01).backward()
    assert torch.isfinite(far.grad).all()
    delta, step = np.random.default_rng(0).normal(size=6), 1e-5
    ours = torch.tensor(delta, dtype=torch.float32, requires_grad=True)
    f_divergence(ours, labels).backward()
    for at in range(6):
        ends = [
            divergence_reference(delta + s * step * np.eye(6)[at], labels.numpy()) for s in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert ours.grad[at].item() == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize(("size", "n"), [(8, 2), (56, 2), (8, 4)])
def test_blocks_move_to_where_the_permutation_says(size, n):
    images = torch.rand(3, 2, size, size)
    permutations, _ = draw_permutations(3, n, torch.Generator().manual_seed(1))
    shuffled = patch_shuffle(images, permutations)
    for image, permutation, found in zip(images, permutations.tolist(), shuffled, strict=True):
        expected = shuffle_reference(image.numpy(), permutation, n)
        assert np.array_equal(found.numpy(), expected)
    assert len({tuple(p) for p in permutations.tolist()}) == 3  # each image has its own


@pytest.mark.parametrize(("size", "block"), [(56, 18), (224, 74)])
def test_a_size_that_does_not_divide_is_cropped_in_the_middle_and_resized(size, block):
    images, first = torch.rand(1, 3, size, size), (size - 3 * block) // 2
    permutation = torch.tensor([[4, 8, 0, 7, 1, 3, 6, 2, 5]])
    crop = images[..., first : first + 3 * block, first : first + 3 * block]
    expected = torch.from_numpy(shuffle_reference(crop[0].numpy(), permutation[0].tolist(), 3))
    expected = F.interpolate(expected[None], (size, size), mode="bilinear", antialias=True)
    found = patch_shuffle(images, permutation)
    assert found.shape == images.shape
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n", [2, 4])
def test_the_identity_and_inverses(n):
    images = torch.rand(5, 3, 16, 16)
    identity = torch.arange(n * n).expand(5, -1)
    assert torch.equal(patch_shuffle(images, identity), images)
    permutation, _ = draw_permutations(5, n, torch.Generator().manual_seed(2))
    there = patch_shuffle(images, permutation)
    assert torch.equal(patch_shuffle(there, permutation.argsort(1)), images)
    assert not torch.equal(there, images)


@pytest.mark.parametrize("shape", [(2, 3), (1, 4)])
def test_permutations_that_fit_no_square_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(2, n \* n\)"):
        patch_shuffle(torch.rand(2, 3, 8, 8), torch.zeros(shape, dtype=torch.int64))


def test_pairs_of_permutations_are_different_and_uniform():
    first, second = draw_permutations(24_000, 2, torch.Generator().manual_seed(0))
    assert not (first == second).all(1).any()
    orders = {p: at for at, p in enumerate(itertools.permutations(range(4)))}
    drawn = np.array(
        [
            (orders[tuple(a)], orders[tuple(b)])
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
        ]
    )
    for column in drawn.T:
        assert chisquare(np.bincount(column, minlength=24)).pvalue > 1e-3
    pairs = np.bincount(drawn @ [24, 1], minlength=576).reshape(24, 24)
    assert not pairs.diagonal().any()
    assert chisquare(pairs[~np.eye(24, dtype=bool)]).pvalue > 1e-3


def test_one_pair_of_permutations_for_a_batch():
    first, second = draw_permutations(5, 2, torch.Generator().manual_seed(0), same=True)
    assert first.shape == second.shape == (5, 4)
    assert len(first.unique(dim=0)) == len(second.unique(dim=0)) == 1
    assert not torch.equal(first, second)
    again = draw_permutations(5, 2, torch.Generator().manual_seed(0), same=True)
    assert torch.equal(again[0], first)
    with pytest.raises(ValueError, match="n=1"):
        draw_permutations(5, 1)


@pytest.mark.parametrize("seed", range(6))
def test_hardest_negatives_are_the_nearest_other_photos_of_the_class(seed):
    rng = np.random.default_rng(seed)
    sketches, photos, negatives = rng.normal(size=(3, 9, 3)).astype(np.float32)
    labels = rng.integers(3, size=9)
    instances = 10 * labels + rng.integers(2, size=9)  # several sketches of one photo
    for at in range(9):
        photos[at] = photos[[*instances].index(instances[at])]
    found = hardest_negatives(*map(torch.from_numpy, (sketches, photos, negatives)),
                              torch.from_numpy(labels), torch.from_numpy(instances))  # fmt: skip
    expected = hardest_reference(sketches, photos, negatives, labels, instances)
    assert np.array_equal(found.numpy(), expected)


def test_without_another_photo_in_the_batch_the_sampled_negative_stays():
    sketches, photos, negatives = torch.randn(3, 3, 4)
    photos.requires_grad_()
    for labels, instances in (([0, 1, 2], [0, 1, 2]), ([0, 0, 0], [5, 5, 5])):
        found = hardest_negatives(
            sketches, photos, negatives, torch.tensor(labels), torch.tensor(instances)
        )
        assert torch.equal(found, negatives)
    rolled = photos.detach().roll(1, 0)
    near = hardest_negatives(
        photos.detach().roll(1, 0),
        photos,
        -photos.detach().roll(1, 0),
        torch.zeros(3),
        torch.arange(3),
    )
    assert torch.equal(near, rolled)
    near.sum().backward()
    assert (photos.grad == 1).all()  # the loss reaches the photos


def test_other_class_positions():
    labels = torch.tensor([0, 0, 1, 2, 2, 2, 5])
    seen = set()
    for seed in range(200):
        chosen = other_class_positions(labels, torch.Generator().manual_seed(seed))
        assert (labels[chosen] != labels).all()
        seen |= {(at, int(c)) for at, c in enumerate(chosen)}
    possible = {(i, j) for i in range(7) for j in range(7) if labels[i] != labels[j]}
    assert seen == possible
    again = other_class_positions(labels, torch.Generator().manual_seed(199))
    assert torch.equal(again, chosen)
    assert other_class_positions(torch.tensor([3, 3])).tolist() == [-1, -1]


def test_permutations_are_different_and_move_something() -> None:
    bank = permutation_bank(23, 2)
    assert len({tuple(row) for row in bank.tolist()}) == 23
    assert [0, 1, 2, 3] not in bank.tolist()
    assert torch.equal(permutation_bank(100, 3), permutation_bank(100, 3))
    assert not torch.equal(permutation_bank(100, 3), permutation_bank(100, 3, seed=1))
    with pytest.raises(ValueError, match="1 to 23"):
        permutation_bank(24, 2)


def test_a_size_that_blocks_do_not_divide_is_resized_and_back() -> None:
    ramp = torch.arange(224.0).expand(2, 3, 224, 224)
    same = torch.arange(9).expand(2, -1)
    edge = {fit: patch_shuffle(ramp, same, fit)[..., 0] for fit in ("crop", "resize")}
    assert edge["resize"].abs().max() < 0.3
    assert edge["crop"].min() > 0.9  # two columns are lost
    images = torch.rand(2, 3, 9, 9)  # which 3 divides
    order = torch.stack([torch.randperm(9) for _ in range(2)])
    assert torch.equal(patch_shuffle(images, order, "resize"), patch_shuffle(images, order))
