"""Losses on modes: photo, sketch and text share their semantics and differ by a vector (MARL)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def converted(embeddings: Tensor, modes: Tensor, mode: Tensor) -> Tensor:
    """Convert embeddings to every mode: normalise(e - m_own + m_k) (Lyou et al., WACV 2024).

    Args:
        embeddings: Of unit length, shape (B, D).
        modes: One vector of each mode, shape (K, D).
        mode: Mode of each embedding, shape (B,), int64.

    Returns:
        Of unit length, shape (B, K, D); an embedding in its own mode is itself.

    >>> converted(torch.eye(2)[:1], torch.eye(2), torch.tensor([0]))
    tensor([[[1., 0.],
             [0., 1.]]])
    """
    semantics = embeddings - modes[mode]
    return F.normalize(semantics[:, None] + modes, dim=-1)


def shared_semantics_loss(image: Tensor, text: Tensor, modes: Tensor, of: Tensor) -> Tensor:
    """What image and text are without their modes is to be what they share: 2 - sum of cosines.

    Args:
        image: Of unit length, shape (B, D).
        text: Of unit length, shape (B, D).
        modes: One vector of each mode, shape (K, D).
        of: Modes of images and of texts, shape (2, B), int64.

    Returns:
        Scalar: mean of 1 - cos(i - m, i + t) plus mean of 1 - cos(t - m, i + t).

    >>> one = torch.eye(2)[:1]
    >>> shared_semantics_loss(one, one, torch.zeros(1, 2), torch.zeros(2, 1, dtype=torch.long))
    tensor(0.)
    """
    shared = image + text  # its length does not matter
    found = [
        1 - F.cosine_similarity(side - modes[mode], shared, dim=-1).mean()
        for side, mode in ((image, of[0]), (text, of[1]))
    ]
    return found[0] + found[1]


def mode_loss(logits: Tensor, mode: Tensor) -> Tensor:
    """Cross-entropy of the modes that embeddings were converted to; their own mode is left out.

    Args:
        logits: Of a classifier of modes for each embedding in each mode, shape (B, K, K).
        mode: Own mode of each embedding, shape (B,), int64.

    Returns:
        Scalar in nats, mean over the B (K - 1) conversions.

    >>> mode_loss(torch.zeros(1, 4, 4), torch.tensor([0]))
    tensor(1.3863)
    """
    batch, modes, _ = logits.shape
    target = torch.arange(modes, device=logits.device).expand(batch, -1)
    each = F.cross_entropy(logits.mT, target, reduction="none")
    return torch.where(target != mode[:, None], each, 0.0).sum() / (batch * (modes - 1))


def reconstruction_loss(
    image: Tensor, text: Tensor, image_as: Tensor, text_as: Tensor, of: Tensor
) -> Tensor:
    """An image converted to the mode of its text is to be that text, and the other way round.

    Args:
        image: Of unit length, shape (B, D).
        text: Of unit length, shape (B, D).
        image_as: Images in every mode, see :func:`converted`, shape (B, K, D).
        text_as: Texts in every mode, shape (B, K, D).
        of: Modes of images and of texts, shape (2, B), int64.

    Returns:
        Scalar: the sum of two means of 1 - cos.

    >>> one = torch.eye(2)[:1]
    >>> same = torch.zeros(2, 1, dtype=torch.long)
    >>> reconstruction_loss(one, one, one[None], one[None], same)
    tensor(0.)
    """
    rows = torch.arange(len(image), device=image.device)
    as_image = 1 - (text_as[rows, of[0]] * image).sum(-1)
    as_text = 1 - (image_as[rows, of[1]] * text).sum(-1)
    return as_image.mean() + as_text.mean()


def orthogonality_loss(image: Tensor, text: Tensor, modes: Tensor) -> Tensor:
    """What image and text share is to lie in other dimensions than the modes.

    Args:
        image: Of unit length, shape (B, D).
        text: Of unit length, shape (B, D).
        modes: One vector of each mode, shape (K, D).

    Returns:
        Scalar: sum over dimensions of |s_d m_kd|, mean over the B K pairs; s = normalise(i + t).

    >>> one = torch.eye(2)[:1]
    >>> orthogonality_loss(one, one, 2 * one.expand(4, -1))
    tensor(2.)
    """
    shared = F.normalize(image + text, dim=-1)
    return (shared[:, None] * modes).abs().sum(-1).mean()


def weighted_mean(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Mean of losses by their weights; one of weight 0 counts in neither sum.

    Args:
        losses: Scalars by name.
        weights: Weight of each, 0 or more; at least one above.

    Returns:
        Scalar.

    >>> weighted_mean({"a": torch.tensor(1.0), "b": torch.tensor(3.0)}, {"a": 1.0, "b": 3.0})
    tensor(2.5000)
    """
    total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
    return total / sum(weights.values())
