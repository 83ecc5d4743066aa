"""Distillation from the logits of a frozen teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    hint: Tensor | None = None,
    hint_weight: float = 0.3,
    teacher_weight: float = 1.0,
) -> Tensor:
    """Mean soft cross-entropy of a student's logits with the distribution of a teacher.

    The target is softmax(teacher_weight x teacher + hint_weight x hint). SAKE (Liu et al., ICCV
    2019) has as its hint the similarity of a sample's class to each class of the teacher; without
    one it is the loss of TCN (Wang et al., TPAMI 2021). Both take it over photos alone.

    Args:
        student: Logits, shape (B, C).
        teacher: Logits, shape (B, C); no gradient flows into them.
        hint: Added to the teacher's logits, shape (B, C).
        hint_weight: Weight of the hint.
        teacher_weight: Weight of the teacher's logits, an inverse temperature.

    Returns:
        Scalar loss in nats; 0 for an empty batch, as one without photos is.

    >>> distillation_loss(torch.zeros(1, 4), torch.tensor([[9.0, 0.0, 0.0, 0.0]]))
    tensor(1.3863)
    """
    logits = teacher_weight * teacher.detach()
    if hint is not None:
        logits = logits + hint_weight * hint
    if not len(student):
        return student.sum()  # a zero that backward() accepts
    return F.cross_entropy(student, torch.softmax(logits, dim=1))
