"""Classification of images by class-name embeddings, or by smoothed labels."""

import torch
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

    >>> text_classification_loss(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), scale=1.0)
    tensor(0.3133)
    """
    logits = F.normalize(embeddings.float(), dim=-1) @ F.normalize(text_bank.float(), dim=-1).T
    return F.cross_entropy(logits * scale, labels)


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.1) -> Tensor:
    """Cross-entropy whose target gives smoothing / (C - 1) to each of the C - 1 other classes.

    The form of TVT and PSKD; PyTorch's own ``label_smoothing`` gives the true class a share, too.

    Args:
        logits: Shape (B, C).
        labels: Shape (B,), int64.
        smoothing: Part of the target that the other classes have.

    Returns:
        Scalar loss in nats, mean over the batch; 0 for an empty batch.

    >>> smoothed_cross_entropy(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    tensor(0.4133)
    """
    classes = logits.shape[1]
    if not len(labels):
        return logits.sum()  # a zero that backward() accepts
    shared = smoothing * classes / (classes - 1) if classes > 1 else 0.0
    return F.cross_entropy(logits.float(), labels, label_smoothing=min(shared, 1.0))


def instance_to_prototype_loss(
    prototypes: Tensor, embeddings: Tensor, labels: Tensor, smoothing: float = 0.1
) -> Tensor:
    """Each sample is to be the one of its batch that is nearest to its class's prototype (PSKD).

    Row i of the logits holds the products of the prototype of sample i's class with all embeddings
    of the batch; its target is i, smoothed. Wang et al., ACM MM 2022.

    Args:
        prototypes: One of each class, shape (C, D).
        embeddings: Shape (B, D).
        labels: Shape (B,), int64.
        smoothing: See :func:`smoothed_cross_entropy`.

    Returns:
        Scalar loss in nats, mean over the batch; 0 for an empty batch.

    >>> instance_to_prototype_loss(torch.eye(2), torch.eye(2), torch.tensor([0, 1]))
    tensor(0.4133)
    """
    logits = prototypes[labels].float() @ embeddings.float().T
    return smoothed_cross_entropy(
        logits, torch.arange(len(labels), device=labels.device), smoothing
    )
