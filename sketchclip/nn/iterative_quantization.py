"""Binary codes by iterative quantisation (ITQ), Gong & Lazebnik, CVPR 2011."""

import torch
from torch import Tensor, nn

_STARTS, _FEW_BITS = 16, 64
_ROWS, _SOME_ROWS = 10_000, 1000


class IterativeQuantization(nn.Module):
    """Maps embeddings to codes of -1 and 1: centre, principal components, a rotation, signs.

    The rotation R minimises |B - V R|^2 with codes B = sign(V R) of the centred and projected
    embeddings V, by turns in B and in R. Before :meth:`fit` the codes are signs of the first
    numbers.

    Args:
        dim: Numbers of an embedding.
        bits: Length of a code, at most ``dim``.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, dim: int, bits: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("projection", torch.eye(dim)[:, :bits].contiguous())

    def forward(self, embeddings: Tensor) -> Tensor:
        """Codes of -1 and 1, (B, dim) to (B, bits)."""
        rotated = (embeddings.float() - self.mean) @ self.projection
        return torch.where(rotated > 0, 1.0, -1.0)

    @torch.no_grad()
    def fit(self, embeddings: Tensor, iterations: int = 50) -> float:
        """Learn centre, components and rotation.

        The rotation depends on where it starts: for short codes the best of several starts on some
        of the rows goes on with all of them. The same embeddings always give the same codes.

        Args:
            embeddings: Of training images, shape (N, dim); 10,000 of them are enough and used.
            iterations: Turns.

        Returns:
            Quantisation error |B - V R|^2, summed over all numbers.
        """
        generator, bits = torch.Generator().manual_seed(0), self.projection.shape[1]
        order = torch.randperm(len(embeddings), generator=generator)
        rows = embeddings.detach().float().cpu()[order[:_ROWS]]
        mean = rows.mean(0)
        components = torch.linalg.svd((rows - mean).T @ (rows - mean))[0][:, :bits]
        projected = (rows - mean) @ components
        starts = torch.randn(_STARTS if bits <= _FEW_BITS else 1, bits, bits, generator=generator)
        rotations, some = torch.linalg.qr(starts)[0], projected[:_SOME_ROWS]
        if len(rotations) > 1:
            rotations = [_turns(some, rotation, iterations) for rotation in rotations]
        best = min(rotations, key=lambda rotation: _error(some, rotation))
        rotation = _turns(projected, best, iterations)
        self.mean.copy_(mean)
        self.projection.copy_(components @ rotation)
        return _error(projected, rotation)


def _turns(rows: Tensor, rotation: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        codes = torch.where(rows @ rotation > 0, 1.0, -1.0).to(rows)
        left, _, right = torch.linalg.svd(codes.T @ rows)
        rotation = right.T @ left.T
    return rotation


def _error(rows: Tensor, rotation: Tensor) -> float:
    rotated = rows @ rotation
    return float((torch.where(rotated > 0, 1.0, -1.0) - rotated).square().sum())
