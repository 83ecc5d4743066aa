"""CLIP's image tower as an encoder for methods that are not built on CLIP."""

from typing import cast

import open_clip
import torch
from timm.data import ImageNetInfo
from torch import Tensor

from data_modules.transforms import Interpolation, Side
from sketchclip.checkpoint import mark_pretrained
from sketchclip.clip.backbone import backbone_hash, load_backbone
from sketchclip.clip.text import encode_classes
from sketchclip.clip.towers import embed_tokens, embed_two_tokens
from sketchclip.encoders import Classifier, ImageEncoder


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
        self.origin = {**weights, "hash": backbone_hash(clip.visual)}
        self.visual = clip.visual
        if frozen:
            mark_pretrained(self.visual)
        else:
            self.visual.requires_grad_(True)

    def classifier(self) -> Classifier:
        """Classifier of ImageNet's classes: CLIP's text embeddings of their names.

        What all texts have in common tells no class apart and is left out. A linear map does not
        normalise embeddings, so that CLIP's temperature is divided by the length that an embedding
        would have if the numbers before its projection were independent.
        """
        clip = load_backbone(self.backbone, self.pretrained)
        names = ImageNetInfo().label_descriptions()
        texts = encode_classes(clip, self.backbone, [name.partition(",")[0] for name in names])
        norm, projection = self.visual.ln_post, self.visual.proj.detach()
        spread = (norm.weight.detach().square() @ projection.square()).sum()
        length = ((norm.bias.detach() @ projection).square().sum() + spread).sqrt()
        weight = clip.logit_scale.detach().exp() / length * (texts - texts.mean(0))
        return weight, torch.zeros(len(weight))

    def class_token(self) -> tuple[Tensor, Tensor] | None:
        """Class token of a plain ViT that embeds by it, and its position."""
        visual = self.visual
        if getattr(visual, "pool_type", None) != "tok" or visual.attn_pool is not None:
            return None
        return visual.class_embedding.detach(), visual.positional_embedding.detach()[0]

    def two_tokens(self, images: Tensor, token: Tensor) -> Tensor:
        """Embed images by the class token and a second one, both through CLIP's projection."""
        return embed_two_tokens(self.visual, images, token)

    @property
    def patches(self) -> int:
        """Number of patch tokens of a plain ViT that embeds by its class token, else 0."""
        return 0 if self.class_token() is None else len(self.visual.positional_embedding) - 1

    def tokens(self, images: Tensor) -> Tensor:
        """Embed images token by token, all through CLIP's projection, (B, 1 + patches, dim)."""
        return embed_tokens(self.visual, images)

    def forward(self, images: Tensor, side: Side | Tensor) -> Tensor:
        """Embed images of either side, (B, 3, H, W) to (B, dim)."""
        return cast(Tensor, self.visual(images))
