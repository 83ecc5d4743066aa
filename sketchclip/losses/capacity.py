"""Capacity of embeddings: how much of the sphere a batch leaves free (MCC)."""

from torch import Tensor


def mean_cosine(vectors: Tensor) -> Tensor:
    """Mean cosine of all pairs of a batch, the diagonal included: the squared length of their mean.

    It is 1/B for B orthogonal vectors and 1 for equal ones; for classes that are points and
    orthogonal to one another it is the chance that two samples are of one class.

    Args:
        vectors: Of unit length, shape (B, D), or their mean, (D,).

    Returns:
        Scalar.

    >>> import torch
    >>> mean_cosine(torch.eye(8))
    tensor(0.1250)
    """
    mean = vectors.mean(0) if vectors.ndim == 2 else vectors
    return mean.square().sum()


def capacity_loss(cosine: Tensor, target: float, weight: float, squared: bool = False) -> Tensor:
    """Distance of a side's mean cosine from its target (Gong et al., IJCAI 2024).

    Args:
        cosine: See :func:`mean_cosine`.
        target: Mean cosine to reach.
        weight: Factor.
        squared: Multiply by the factor twice, as the released code does.

    Returns:
        Scalar.

    >>> import torch
    >>> capacity_loss(torch.tensor(0.5), target=0.25, weight=2.0)
    tensor(0.5000)
    """
    return (weight * weight if squared else weight) * (cosine - target).abs()
