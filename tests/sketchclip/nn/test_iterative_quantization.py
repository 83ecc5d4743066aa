"""Binary codes by iterative quantisation."""

from typing import Any

import pytest
import torch

from sketchclip.nn import IterativeQuantization
from tests.helpers.parity import draws, tensor


@draws("itq")
def test_the_error_is_at_most_that_of_the_original_code(numbers: dict[str, Any]) -> None:
    rows = tensor(numbers["train"])
    codes = IterativeQuantization(rows.shape[1], rows.shape[1])
    error = codes.fit(rows, numbers["iterations"])
    assert error <= 1.02 * numbers["quantisation_error_after"]
    rotated = (rows.float() - codes.mean) @ codes.projection
    assert error == pytest.approx(float((codes(rows) - rotated).square().sum()), rel=1e-5)


def test_a_projection_is_orthogonal_and_centred() -> None:
    rows = 3 + torch.randn(200, 12, generator=torch.Generator().manual_seed(0))
    codes = IterativeQuantization(12, 5)
    assert codes(rows).shape == (200, 5)
    codes.fit(rows)
    found = codes.projection.T @ codes.projection
    torch.testing.assert_close(found, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.mean, rows.mean(0))
    assert codes(rows).unique().tolist() == [-1, 1]
    # Bits of centred data are on about half of the time; those of data far from zero are not.
    assert (codes(rows).mean(0).abs() < 0.4).all()


def test_far_groups_have_far_codes() -> None:
    noise = torch.Generator().manual_seed(1)
    centres = 4 * torch.randn(4, 16, generator=noise)
    labels = torch.arange(4).repeat_interleave(50)
    rows = centres[labels] + torch.randn(200, 16, generator=noise)
    codes = IterativeQuantization(16, 8)
    codes.fit(rows)
    found = codes(rows)
    near = found @ found.T
    same = labels[:, None] == labels
    assert near[same].mean() > near[~same].mean() + 4


def test_the_same_embeddings_give_the_same_codes() -> None:
    rows = torch.randn(300, 8, generator=torch.Generator().manual_seed(2))
    first, second = IterativeQuantization(8, 8), IterativeQuantization(8, 8)
    first.fit(rows)
    torch.rand(3)
    second.fit(rows)
    assert torch.equal(first.projection, second.projection)
