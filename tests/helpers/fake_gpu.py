"""A GPU that computes nothing: it has shapes and devices, which show where a program waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)
_COPIES = ("aten::_to_copy", "aten::copy_")


class CopiesThatWait(TorchDispatchMode):
    """Refuses copies between processor and GPU that the processor waits for."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.name().partition(".")[0] in _COPIES:
            tensors = [x for x in (result, *args) if isinstance(x, Tensor)]
            devices = {tensor.device.type for tensor in tensors}
            free = (kwargs or {}).get("non_blocking", False) or args[2:3] == (True,)
            assert len(devices) == 1 or (free and result.is_cuda), f"{func.name()} waits"
        return result


@contextmanager
def fake_gpu() -> Iterator[FakeTensorMode]:
    """Tensors that are made inside are fake; whatever has a program wait for a GPU raises.

    Reading a number and results whose size depends on numbers raise by themselves.
    """
    with FakeTensorMode() as fake, CopiesThatWait():
        yield fake


def moved(module: nn.Module, fake: FakeTensorMode) -> None:
    """Put the parameters and buffers of a module on the fake GPU, in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                copy = nn.Parameter(_moved(parameter, fake), parameter.requires_grad)
                part._parameters[name] = copy
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = _moved(buffer, fake)
        part._device = GPU  # type: ignore[assignment]  # as Lightning's modules keep it


def _moved(tensor: Tensor, fake: FakeTensorMode) -> Tensor:
    return fake.from_tensor(tensor).detach().to(GPU, non_blocking=True)
