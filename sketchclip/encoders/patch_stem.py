"""Convolutions beside the patch embedding of a ViT (ZSE-SBIR, Lin et al., CVPR 2023).

Its text adds what they give to the patch embedding; its released code (buptLinfy/ZSE-SBIR) takes
the mean of both, as here.
"""

from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn

from sketchclip.errors import SketchClipError

_CHANNELS = (3, 64, 128, 256)
STRIDE = 16


class AveragedPatches(nn.Module):
    """Mean of a patch embedding and of four strided convolutions, which start at random.

    Args:
        own: Patch embedding of a pretrained ViT, a convolution with a stride of 16.
    """

    def __init__(self, own: nn.Conv2d) -> None:
        super().__init__()
        self.own = own
        channels = (*_CHANNELS, own.out_channels)
        layers: list[nn.Module] = []
        for at, (inside, outside) in enumerate(pairwise(channels)):
            kernel = 3 if at else 7
            layers.append(nn.Conv2d(inside, outside, kernel, 2, kernel // 2, bias=False))
            layers.append(nn.ReLU())
        self.stem = nn.Sequential(*layers[:-1])  # tokens may be negative

    def forward(self, images: Tensor) -> Tensor:
        """Embed patches, (B, 3, H, W) to (B, width, H / 16, W / 16)."""
        return cast(Tensor, (self.own(images) + self.stem(images)) / 2)


def add_stem(net: Any, name: str) -> None:
    """Average the patch embedding of a ViT of timm with a new stem.

    Args:
        net: Network.
        name: Its name in timm.

    Raises:
        SketchClipError: If it has no patches of 16 pixels.
    """
    own = getattr(getattr(net, "patch_embed", None), "proj", None)
    if not isinstance(own, nn.Conv2d) or own.stride != (STRIDE, STRIDE):
        found = f"patches of {own.stride} pixels" if isinstance(own, nn.Conv2d) else "none"
        raise SketchClipError(
            f"The network '{name}' takes no stem: expected a ViT with patches of {STRIDE} pixels, "
            f"such as vit_base_patch16_224.sam_in1k, found {found}. Set --model.encoder.stem false."
        )
    net.patch_embed.proj = AveragedPatches(own)
