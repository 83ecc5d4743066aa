"""Frozen text embeddings of the class names that a run may see."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sketchclip.clip.backbone import CLIPModel
from sketchclip.semantics.class_names import spoken

TEMPLATE = "a photo of a {}"


@torch.no_grad()
def encode_classes(
    clip: CLIPModel, backbone: str, class_names: Sequence[str], template: str = TEMPLATE
) -> Tensor:
    """Text embeddings of class names under one template.

    Args:
        clip: The frozen open_clip model.
        backbone: Its name, which decides the tokenizer.
        class_names: Names in the order of their labels.
        template: Sentence with ``{}`` for the name; the paper uses "a photo of a {}" for
            sketches and photos alike.

    Returns:
        L2-normalised fp32 embeddings, shape (C, D).
    """
    import open_clip

    tokenizer = open_clip.get_tokenizer(backbone)
    tokens = tokenizer([template.format(spoken(name)) for name in class_names])
    device = next(clip.parameters()).device
    parts = [clip.encode_text(chunk.to(device)).float() for chunk in tokens.split(256)]
    return F.normalize(torch.cat(parts), dim=-1)
