"""Graph convolution over the samples of a batch (Kipf and Welling, ICLR 2017)."""

import torch
from torch import Tensor, nn


def gaussian_adjacency(vectors: Tensor, t: float) -> Tensor:
    """Adjacency exp(-||w_i - w_j||^2 / t) of nodes by their vectors, computed in fp32.

    A node is its own neighbour with weight 1. Shen et al., CVPR 2018 (ZSIH), t = 0.1.

    Args:
        vectors: w, shape (N, V).
        t: Squared distance at which the weight has fallen to 1 / e.

    Returns:
        Symmetric, in [0, 1], shape (N, N).

    >>> gaussian_adjacency(torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]), 0.1)
    tensor([[1., 1., 0.],
            [1., 1., 0.],
            [0., 0., 1.]])
    """
    # By a matrix product, as cdist does for many nodes, equal vectors would not be at distance 0.
    rows = vectors.float()
    distance = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return (-distance.square() / t).exp()


def normalise_adjacency(adjacency: Tensor) -> Tensor:
    """Normalise by the degrees, D^-1/2 A D^-1/2 with D_ii = sum_j A_ij, computed in fp32.

    Args:
        adjacency: A, symmetric, with positive row sums, shape (N, N).

    Returns:
        Symmetric, eigenvalues in [-1, 1], shape (N, N).

    >>> normalise_adjacency(torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 4.0]]))
    tensor([[0.5000, 0.5000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    weights = adjacency.float()
    scale = weights.sum(1).rsqrt()
    return scale[:, None] * weights * scale


class LearnedAdjacency(nn.Module):
    """Predicts the weight between two nodes from |x_i - x_j| by two layers, in (0, 1).

    A batch holds N x N differences at once: N^2 x width numbers.

    Args:
        width: Numbers of a node's features.
        hidden: Width of the inner layer.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Symmetric adjacency of nodes (N, width), shape (N, N)."""
        apart = (x.unsqueeze(1) - x.unsqueeze(0)).abs()
        weights: Tensor = self.layers(apart).squeeze(-1).float().sigmoid()
        return weights


class GraphConvolution(nn.Module):
    """Averages nodes over their neighbours and maps them: relu(A h W), without a bias.

    Args:
        width: Numbers of a node's features.
        dim: Numbers of its new features.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, dim, bias=False)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """Features of nodes (N, width) as (N, dim).

        Args:
            nodes: h, shape (N, width).
            adjacency: A, mostly normalised, shape (N, N).
        """
        return (adjacency @ self.map(nodes)).relu()
