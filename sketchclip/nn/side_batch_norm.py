"""Batch normalisation with statistics of its own for each side (TCN's MSSBN)."""

from torch import Tensor, nn

from data_modules.transforms import Side


class SideBatchNorm(nn.Module):
    """BatchNorm whose affine map is shared and whose running statistics belong to a side.

    Args:
        width: Number of features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sketch = nn.BatchNorm1d(width)
        self.photo = nn.BatchNorm1d(width)
        self.photo.weight, self.photo.bias = self.sketch.weight, self.sketch.bias

    def forward(self, x: Tensor, side: Side) -> Tensor:
        """Normalise features (B, D) of one side."""
        normed: Tensor = (self.sketch if side == "sketch" else self.photo)(x)
        return normed
