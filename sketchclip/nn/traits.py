"""Codes of traits, and a layer that a code decides (CC-DG, Pang et al., CVPR 2019)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softmax


class TraitNetwork(nn.Module):
    """Describes features by K traits, and gives back the features that they stand for.

    A code is a softmax over K traits; features that it stands for are the sum of K prototypes in
    these shares. In training the code is a Gumbel-softmax sample.

    Args:
        width: Numbers D of features; their length does not matter.
        codes: Number K of traits.
        hidden: Width of the inner layer.
        temperature: Of the softmax.
    """

    def __init__(self, width: int, codes: int, hidden: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, codes))
        self.decoder = nn.Linear(codes, width)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Codes (B, K) of features (B, D), each of sum 1.

        Args:
            features: Shape (B, D).
            generator: Randomness of Gumbel noise, on the CPU; None for the codes without noise.
        """
        scaled = normalize(features.float()) * features.shape[1] ** 0.5
        logits = self.encoder(scaled).float()
        if generator is not None:
            noise = torch.empty(logits.shape).exponential_(generator=generator).log()
            logits = logits - noise.to(logits.device)
        return softmax(logits / self.temperature, dim=1)

    def reconstruct(self, codes: Tensor) -> Tensor:
        """Features (B, D) that codes (B, K) stand for."""
        return cast(Tensor, self.decoder(codes))


class DynamicLinear(nn.Module):
    """W(v) x with W(v) = W0 + P diag(Q v) R of a code v.

    P starts at 0 and W0 as an orthogonal matrix, so that the layer starts without codes, and with
    dim >= width as a rotation: cosines are at first those of the inputs.

    Args:
        width: Numbers D of an input.
        dim: Numbers of an output.
        codes: Numbers K of a code.
        rank: Rank r of what is added to W0.
    """

    def __init__(self, width: int, dim: int, codes: int, rank: int) -> None:
        super().__init__()
        self.base = nn.Linear(width, dim, bias=False)  # W0
        self.left = nn.Linear(rank, dim, bias=False)  # P
        self.factors = nn.Linear(codes, rank, bias=False)  # Q
        self.right = nn.Linear(width, rank, bias=False)  # R
        nn.init.orthogonal_(self.base.weight)
        nn.init.zeros_(self.left.weight)
        nn.init.normal_(self.factors.weight)  # a code near one of K is to scale as 1 does

    def project(self, values: Tensor) -> Tensor:
        """Compute [y, z] = [W0 x, R x], which all W(v) x are made of, (B, D) to (B, dim + r)."""
        return torch.cat([self.base(values), self.right(values)], dim=1)

    def combine(self, projected: Tensor, codes: Tensor) -> Tensor:
        """W(v) x = y + P (Q v o z) for rows [y, z], (B, dim + r), and codes (B, K); (B, dim)."""
        y, z = projected.split(self.left.weight.shape, dim=1)
        return cast(Tensor, y + self.left(self.factors(codes) * z))

    def forward(self, values: Tensor, codes: Tensor) -> Tensor:
        """Map values (B, D) by the matrices of their codes (B, K) to (B, dim)."""
        return self.combine(self.project(values), codes)

    def cosines(self, queries: Tensor, codes: Tensor, gallery: Tensor) -> Tensor:
        """Cosines of W(v) q and W(v) x for each query q with its code v and each x of a gallery.

        No x is mapped anew for a query. With c = Q v, u the unit vector of W(v) q and M = P'P, all
        sums over the r numbers of c and z:

        - u . W(v) x = u . y + sum_i c_i (P'u)_i z_i;
        - |W(v) x|^2 = |y|^2 + 2 sum_i c_i z_i (P'y)_i + sum_ij c_i c_j M_ij z_i z_j,

        each a product of a matrix of the queries and one of the gallery. Memory is that of the
        result and, for each x, of dim + r (r + 5) / 2 numbers.

        Args:
            queries: Rows [y, z] of :meth:`project`, shape (Q, dim + r).
            codes: Shape (Q, K).
            gallery: Rows [y, z], shape (G, dim + r).

        Returns:
            fp32, shape (Q, G).
        """
        left = self.left.weight
        unit, c = normalize(self.combine(queries, codes)), self.factors(codes)
        inner = torch.cat([unit, c * (unit @ left)], 1) @ gallery.T
        y, z = gallery.split(left.shape, dim=1)

        i, j = torch.triu_indices(left.shape[1], left.shape[1], device=left.device)
        gram = (left.T @ left)[i, j] * torch.where(i == j, 1.0, 2.0)
        ones, lengths = torch.ones_like(c[:, :1]), y.square().sum(1, keepdim=True)
        of_queries = torch.cat([ones, 2 * c, c[:, i] * c[:, j] * gram], 1)
        of_gallery = torch.cat([lengths, z * (y @ left), z[:, i] * z[:, j]], 1)
        squares = of_queries @ of_gallery.T
        return inner.div_(squares.clamp_min_(1e-24).sqrt_())
