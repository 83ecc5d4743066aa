"""Classification of images against a frozen bank of class-name embeddings."""

import torch.nn.functional as F
from torch import Tensor


def text_classification_loss(
    embeddings: Tensor, text_bank: Tensor, labels: Tensor, scale: Tensor | float = 100.0
) -> Tensor:
    """Cross-entropy of CLIP's softmax over *all* seen classes (Sain et al., CVPR 2023, L_cls).

    Args:
        embeddings: Image embeddings, shape (B, D); need not be normalised.
        text_bank: One text embedding for each seen class, shape (C, D).
        labels: Row of ``text_bank`` that is each image's class, shape (B,), int64.
        scale: Inverse temperature of the softmax; ``exp(logit_scale)`` = 100 for OpenAI's CLIP.

    Returns:
        Scalar loss, mean over the batch, in nats.

    >>> import torch
    >>> text_classification_loss(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), scale=1.0)
    tensor(0.3133)
    """
    logits = F.normalize(embeddings.float(), dim=-1) @ F.normalize(text_bank.float(), dim=-1).T
    return F.cross_entropy(logits * scale, labels)
