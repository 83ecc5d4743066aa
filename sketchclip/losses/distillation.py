"""Distillation from the logits of a teacher."""

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


def dino_loss(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    temperature: float,
    student_temperature: float = 0.1,
) -> Tensor:
    """Cross-entropy of a student's prototypes with those of a centred teacher (Caron et al., 2021).

    The target is softmax((teacher - centre) / temperature).

    Args:
        student: Logits, shape (B, K).
        teacher: Logits, shape (B, K); no gradient flows into them.
        centre: Moving average of the teacher's logits before this batch, shape (K,).
        temperature: Of the teacher; lower is sharper.
        student_temperature: Of the student.

    Returns:
        Scalar loss in nats, mean over the batch; 0 for an empty batch.

    >>> logits, centre = torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 0.0])
    >>> dino_loss(logits, logits, centre, temperature=0.04, student_temperature=1.0)
    tensor(0.8133)
    """
    logits = student.float() / student_temperature
    return distillation_loss(logits, teacher.float() - centre, teacher_weight=1 / temperature)


def correlated_distillation_loss(
    student: Tensor, teacher: Tensor, prototypes: Tensor, labels: Tensor
) -> Tensor:
    """Soft cross-entropy with a teacher whose logits are weighed by the likeness of classes (PSKD).

    The target is softmax(teacher x cos(P, P)[label]) with the prototypes P, which take no gradient
    from it. Wang et al., ACM MM 2022.

    Args:
        student: Logits, shape (B, C).
        teacher: Logits, shape (B, C).
        prototypes: One of each class, shape (C, D).
        labels: Shape (B,), int64.

    Returns:
        Scalar loss in nats, mean over the batch; 0 for an empty batch.

    >>> logits = torch.tensor([[2.0, 1.0]])
    >>> correlated_distillation_loss(torch.zeros(1, 2), logits, torch.eye(2), torch.tensor([0]))
    tensor(0.6931)
    """
    rows = F.normalize(prototypes.detach().float(), dim=1)
    likeness = rows[labels] @ rows.T
    return distillation_loss(student.float(), teacher.float() * likeness)
