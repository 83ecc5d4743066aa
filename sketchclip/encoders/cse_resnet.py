"""Conditional SE-ResNet: the squeeze-and-excitation gates know the side of an image (SAKE)."""

from typing import Any

import torch
from torch import Tensor, nn

from data_modules.ranges import Count
from data_modules.transforms import Side
from sketchclip.encoders.timm_encoder import TimmEncoder


class ConditionalGate(nn.Module):
    """Squeeze-and-excitation gate with a bit for the side behind its bottleneck.

    Liu et al., ICCV 2019: the bit, 0 for sketches and 1 for photos, joins the output of the first
    layer after its ReLU. Its weights start at 0, so that the gate begins as the pretrained one.

    Args:
        gate: timm's gate, with the 1 x 1 convolutions ``fc1`` and ``fc2``.
    """

    side: Tensor

    def __init__(self, gate: Any) -> None:
        super().__init__()
        self.fc1 = gate.fc1
        wide = nn.Conv2d(gate.fc2.in_channels + 1, gate.fc2.out_channels, 1)
        with torch.no_grad():
            wide.weight.zero_()
            wide.weight[:, :-1].copy_(gate.fc2.weight)
            wide.bias.copy_(gate.fc2.bias)  # type: ignore[union-attr]
        self.fc2 = wide

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (B, C, H, W) by what is in them and by ``side``, (B,)."""
        squeezed = self.fc1(x.mean((2, 3), keepdim=True)).relu()
        bit = self.side.to(squeezed).view(-1, 1, 1, 1).expand(len(x), -1, -1, -1)
        return x * self.fc2(torch.cat([squeezed, bit], dim=1)).sigmoid()


class CSEResNet(TimmEncoder):
    """SE-ResNet whose gates know the side; one network for sketches and photos.

    Args:
        name: SE-ResNet of timm, whose gates are its modules named ``se_module``.
        pretrained: File of weights; null for those that timm downloads; random for none.
        frozen: Keep the weights as they are; else all of them train.
        size: Side of the input in pixels; null for the network's own.
    """

    def __init__(
        self,
        name: str = "legacy_seresnet50.in1k",
        pretrained: str | None = None,
        frozen: bool = False,
        size: Count | None = None,
    ) -> None:
        super().__init__(name, pretrained, frozen, size)
        owners = [module for module in self.net.modules() if hasattr(module, "se_module")]
        for owner in owners:
            owner.se_module = ConditionalGate(owner.se_module).requires_grad_(not frozen)
        self.gates = [owner.se_module for owner in owners]  # a list: they are parts of the network

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images, (B, 3, H, W) to (B, dim); ``side`` may differ from image to image."""
        if not isinstance(side, Tensor):
            side = torch.full((1,), float(side == "photo"), device=images.device)
        for gate in self.gates:
            gate.side = side
        return super().forward(images, side)
