"""Losses between images and the vectors of their classes' names."""

import torch
import torch.nn.functional as F
from torch import Tensor


def semantic_cosine_loss(predicted: Tensor, vectors: Tensor) -> Tensor:
    """Mean of (1 - cos) / 2 between predicted and true class vectors (Dey et al., CVPR 2019).

    Args:
        predicted: Shape (B, V).
        vectors: Vector of each sample's class, shape (B, V).

    Returns:
        Scalar loss in [0, 1].

    >>> semantic_cosine_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    tensor(0.5000)
    """
    return (1.0 - F.cosine_similarity(predicted, vectors, dim=-1)).mean() / 2


def semantic_batch_hard(
    embeddings: Tensor, anchors: Tensor, labels: Tensor, logits: Tensor
) -> Tensor:
    """Batch-hard triplet loss from semantic anchors, weighted by certainty (TCN).

    Anchor i lies between the embedding of sample i and its class's mapped word vector. It is
    compared with the farthest embedding of its class, its own excluded, and the nearest of another
    one: softplus(d_positive - d_negative) x (1 + exp(-H_i)), H_i being the entropy of the
    classifier at the anchor. Distances are Euclidean. Wang et al., TPAMI 2021.

    Args:
        embeddings: Shape (B, D).
        anchors: Shape (B, D).
        labels: Class of each sample, shape (B,), int64.
        logits: Classifier's output for the anchors, shape (B, C).

    Returns:
        Scalar loss, mean over the anchors.
    """
    apart = anchors.unsqueeze(1) - embeddings.unsqueeze(0)
    distance = (apart.square() + 1e-16).sum(-1).sqrt()
    same = labels.unsqueeze(1) == labels.unsqueeze(0)
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    farthest = distance.masked_fill(~same | own, 0.0).amax(1)
    nearest = distance.masked_fill(same, float("inf")).amin(1)
    entropy = torch.special.entr(logits.softmax(1)).sum(1)
    return (F.softplus(farthest - nearest) * (1.0 + torch.exp(-entropy))).mean()
