"""Autoencoder of class vectors (SEM-PCYC)."""

from torch import Tensor, nn


class SemanticAutoencoder(nn.Module):
    """Codes class vectors by one linear layer and rebuilds them by another, a ReLU behind each.

    What is negative in a vector cannot be rebuilt, as in the released code of Dutta and Akata,
    CVPR 2019.

    Args:
        width: Numbers V of a class vector.
        dim: Numbers of a code.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, dim)
        self.up = nn.Linear(dim, width)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Code and rebuild class vectors (B, V).

        Returns:
            Codes (B, dim) and rebuilt vectors (B, V), both at least 0.
        """
        code = self.down(vectors).relu()
        return code, self.up(code).relu()

    def column_norms(self) -> Tensor:
        """Sum of the lengths of the columns of the coding matrix, which a penalty makes sparse."""
        return self.down.weight.norm(dim=0).sum()
