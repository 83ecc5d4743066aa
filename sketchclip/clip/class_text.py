"""Class vectors from CLIP's text encoder, for methods that are not built on CLIP."""

from collections.abc import Sequence

from torch import Tensor

from sketchclip.clip.backbone import load_backbone
from sketchclip.clip.mini import MINI_NAME
from sketchclip.clip.text import TEMPLATE, encode_classes
from sketchclip.semantics import ClassSemantics


class CLIPText(ClassSemantics):
    """Text embeddings of class names by a frozen CLIP; the default where no word vectors are named.

    Args:
        backbone: open_clip model name; sketchclip-mini works without a network.
        pretrained: open_clip tag or checkpoint file; null for OpenAI's weights (the mini: its own).
        template: Sentence with ``{}`` for the name.
    """

    def __init__(
        self, backbone: str = MINI_NAME, pretrained: str | None = None, template: str = TEMPLATE
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pretrained = pretrained
        self.template = template

    def vectors(self, class_names: Sequence[str]) -> Tensor:
        """Unit vectors of classes, (C, V)."""
        clip = load_backbone(self.backbone, self.pretrained)
        return encode_classes(clip, self.backbone, class_names, self.template)

    @property
    def source(self) -> str:
        """Name of the CLIP model."""
        return f"CLIP text of {self.backbone}, '{self.template}'"
