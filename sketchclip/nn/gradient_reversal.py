"""Gradient reversal (Ganin and Lempitsky, ICML 2015) and the ramp of its factor."""

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return x; its gradient is multiplied by -factor.

    >>> x = torch.ones(1, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000])
    """
    result: Tensor = _Reversal.apply(x, factor)
    return result


def ramp(position: float, start: float = 5.0, end: float = 25.0) -> float:
    """Factor that is 0 below start, 1 above end and linear between (doodle2search).

    >>> ramp(4), ramp(10), ramp(26)
    (0.0, 0.25, 1.0)
    """
    return min(1.0, max(0.0, (position - start) / (end - start)))
