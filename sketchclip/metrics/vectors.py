"""Vectors of states, as rankings and search compare them."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
"""Maps query states (q, ...) and gallery states (g, ...) to scores (q, g), higher is nearer."""

Similarity = Literal["cosine", "euclidean", "hamming"]

_SHORTEST, _LONGEST = 1e-12, 1e18  # lengths whose squares fp32 holds, and above F.normalize's eps


def as_vectors(states: Tensor, similarity: Similarity) -> Tensor:
    """Vectors to store and search: unit vectors, plain ones, or codes of -1 and 1.

    Args:
        states: Shape (N, D); any float or integer type.
        similarity: Cosine, euclidean, or hamming on codes of 0/1 or of signs.

    Returns:
        fp32, shape (N, D). The inner product is the cosine; the squared Euclidean distance of
        codes is 4 x their Hamming distance.
    """
    if similarity == "cosine":
        return F.normalize(states.float(), dim=-1)
    if similarity == "hamming":
        return torch.where(states > 0, 1.0, -1.0)
    return states.float()


def _of_safe_length(states: Tensor) -> Tensor:
    """Scale vectors whose squares would leave the range of fp32, which keeps their directions."""
    states = states.float()
    length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
    unsafe = ~((length > _SHORTEST) & (length < _LONGEST))
    if not unsafe.any():
        return states
    largest = states.abs().amax(-1, keepdim=True)
    return torch.where(unsafe & (largest > 0), states / largest, states)


def as_product(states: Tensor, similarity: Similarity, side: Literal["query", "gallery"]) -> Tensor:
    """Vectors whose inner product orders the gallery as the similarity does.

    Cosine: unit length. Euclidean: |q - g|^2 = |q|^2 - 2 (q g - |g|^2 / 2), and |q|^2 is the same
    for the whole gallery, so one column more does it. Hamming on codes of 0/1 or of signs: the
    product of signs is D - 2 x distance.

    Args:
        states: Shape (N, D); any float or integer type, ranked in fp32.
        similarity: Name of the similarity.
        side: Which side the states belong to.

    Returns:
        fp32, shape (N, D) or (N, D + 1).
    """
    x = as_vectors(_of_safe_length(states) if similarity == "cosine" else states, similarity)
    if similarity != "euclidean":
        return x
    last = torch.ones_like(x[:, :1]) if side == "query" else -0.5 * (x * x).sum(1, keepdim=True)
    return torch.cat([x, last], dim=1)
