"""The layer of CC-DG: its matrix, and the cosines of a gallery that is not embedded anew."""

import numpy as np
import pytest
import torch

from sketchclip.nn import DynamicLinear


def drawn(width: int = 24, dim: int = 10, codes: int = 7, rank: int = 5) -> DynamicLinear:
    torch.manual_seed(width)
    layer = DynamicLinear(width, dim, codes, rank)
    torch.nn.init.normal_(layer.left.weight)
    return layer.requires_grad_(False)


def matrices(layer: DynamicLinear, codes: torch.Tensor) -> np.ndarray:
    """W0 + P diag(Q v) R of each code v, written out in fp64."""
    names = ("base", "left", "factors", "right")
    w, p, q, r = (getattr(layer, name).weight.double().numpy() for name in names)
    return np.stack([w + p @ np.diag(q @ v) @ r for v in codes.double().numpy()])


def test_the_matrix_is_that_of_the_code() -> None:
    layer, values, codes = drawn(), torch.randn(6, 24), torch.rand(6, 7)
    expected = np.einsum("bdw,bw->bd", matrices(layer, codes), values.double().numpy())
    np.testing.assert_allclose(layer(values, codes), expected, atol=1e-5)


def test_a_new_layer_is_the_same_for_all_codes() -> None:
    layer, values = DynamicLinear(8, 4, 3, 2), torch.randn(5, 8)
    assert torch.equal(layer(values, torch.rand(5, 3)), layer.base(values))
    wide = DynamicLinear(8, 12, 3, 2).requires_grad_(False)
    cosines = torch.nn.functional.normalize(values) @ torch.nn.functional.normalize(values).T
    parts = wide.project(values)
    torch.testing.assert_close(wide.cosines(parts, torch.rand(5, 3), parts), cosines)


@pytest.mark.parametrize("sizes", [(24, 10, 7, 5), (9, 33, 3, 1), (64, 32, 20, 16)])
def test_cosines_are_those_of_a_gallery_embedded_for_each_query(sizes: tuple[int, ...]) -> None:
    layer = drawn(*sizes)
    queries, gallery = torch.randn(11, sizes[0]), 30 * torch.randn(50, sizes[0])
    codes = torch.softmax(3 * torch.randn(11, sizes[2]), 1)
    found = layer.cosines(layer.project(queries), codes, layer.project(gallery))
    embedded = np.einsum("qdw,gw->qgd", matrices(layer, codes), gallery.double().numpy())
    own = np.einsum("qdw,qw->qd", matrices(layer, codes), queries.double().numpy())
    lengths = np.linalg.norm(embedded, axis=2) * np.linalg.norm(own, axis=1)[:, None]
    naive = np.einsum("qd,qgd->qg", own, embedded) / lengths
    np.testing.assert_allclose(found, naive, atol=1e-5)


def test_a_query_does_not_depend_on_the_others() -> None:
    layer = drawn()
    queries, gallery = layer.project(torch.randn(9, 24)), layer.project(torch.randn(20, 24))
    codes = torch.softmax(torch.randn(9, 7), 1)
    alone = [layer.cosines(q[None], v[None], gallery) for q, v in zip(queries, codes, strict=True)]
    torch.testing.assert_close(torch.cat(alone), layer.cosines(queries, codes, gallery))


def test_an_input_of_zeros_has_a_cosine_of_zero() -> None:
    layer, codes = drawn(), torch.softmax(torch.randn(2, 7), 1)
    assert not layer.cosines(torch.randn(2, 15), codes, torch.zeros(3, 15)).any()
