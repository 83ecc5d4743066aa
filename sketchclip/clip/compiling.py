"""Compilation of the networks that embed images, where the platform can."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from sketchclip.clip.towers import PromptedTower
from sketchclip.encoders.base import ImageEncoder
from sketchclip.errors import first_line

Compile = Literal["off", "default", "reduce-overhead", "max-autotune"]
"""Modes of ``torch.compile``, and none."""


def towers_of(module: nn.Module) -> Iterator[nn.Module]:
    """Networks that embed images, each once, without those inside another."""
    inside: set[int] = set()
    for part in module.modules():
        if isinstance(part, (PromptedTower, ImageEncoder)) and id(part) not in inside:
            inside |= {id(child) for child in part.modules()}
            yield part


def compile_towers(
    module: nn.Module, device: torch.device, mode: Compile = "default", backend: str = "inductor"
) -> str | None:
    """Compile in place; names in checkpoints stay, and what was compiled stays as it is.

    Shapes are static: each size of a batch is compiled when it first comes, so that a training
    with its validation compiles a few times in its first epoch.

    Args:
        module: A method.
        device: Where it runs.
        mode: Mode of the compiler.
        backend: Compiler.

    Returns:
        Why it is not compiled; None if it is, or if nothing was to be done.
    """
    if mode == "off":
        return None
    if reason := _refusal(device, backend):
        return reason
    # TorchInductor takes its modes alone, other compilers none.
    options = {"mode": mode} if backend == "inductor" else {}
    for tower in towers_of(module):
        if tower._compiled_call_impl is None:
            tower.compile(dynamic=False, backend=backend, **options)
    return None


def _refusal(device: torch.device, backend: str) -> str | None:
    """Why nothing can be compiled here, found out with one addition; None if it can."""
    try:
        added = torch.compile(_add, backend=backend)(torch.ones(2, device=device))
        return None if float(added[0]) == 2 else "the compiler gives wrong results"
    except Exception as error:  # of compilers, drivers, versions of Python
        return first_line(getattr(error, "inner_exception", None) or error)


def _add(x: torch.Tensor) -> torch.Tensor:
    return x + 1
