"""CLIP's image tower as an encoder for methods that are not built on CLIP."""

from typing import cast

import open_clip
from torch import Tensor

from data_modules.transforms import Interpolation, Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.clip.backbone import backbone_hash, load_backbone
from sketchclip.encoders import ImageEncoder


class CLIPImageEncoder(ImageEncoder):
    """The image tower of a CLIP model, the same for sketches and photos.

    Args:
        backbone: open_clip model name, or sketchclip-mini.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        frozen: Keep the weights as they are; else all of them train.
    """

    def __init__(
        self,
        backbone: str = "ViT-B-32-quickgelu",
        pretrained: str | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pretrained = pretrained
        self.frozen = frozen
        clip = load_backbone(backbone, pretrained)
        steps = open_clip.get_model_preprocess_cfg(clip)
        self.mean, self.std = tuple(steps["mean"]), tuple(steps["std"])
        kind: Interpolation = "bilinear" if steps["interpolation"] == "bilinear" else "bicubic"
        self.interpolation = kind
        self.image_size = int(clip.visual.image_size[0])
        self.dim = int(clip.visual.output_dim)
        weights = {"name": backbone, "pretrained": pretrained or "default"}
        self.identity = {**weights, "hash": backbone_hash(clip.visual)} if frozen else None
        self.visual = clip.visual
        if frozen:
            mark_pretrained(self.visual)
        else:
            self.visual.requires_grad_(True)

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of either side, (B, 3, H, W) to (B, dim)."""
        return cast(Tensor, self.visual(images))
