"""Spatial attention over the last feature map (doodle2search)."""

from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Adds to a feature map its part that a softmax over positions attends to: x + x mask.

    Two 1 x 1 convolutions without anything between give the mask (Dey et al., CVPR 2019).

    Args:
        channels: Channels C of the map.
        hidden: Channels between the convolutions; 380 for the 512 of VGG16 in the released code.
    """

    def __init__(self, channels: int, hidden: int = 380) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, hidden, 1)
        self.mask = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend: (B, C, H, W) to the same shape."""
        scores = self.mask(self.down(x))
        return x + x * scores.flatten(1).softmax(1).view_as(scores)
