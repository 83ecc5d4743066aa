"""Files of numbers from the original code of other systems; see README.md in their folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

_FOLDER = Path(__file__).parents[1] / "sketchclip" / "parity"


def draws(name: str) -> pytest.MarkDecorator:
    """Parametrise a test over all draws of a file, as its argument ``numbers``."""
    files = sorted(_FOLDER.glob(f"{name}.*.json"))
    assert files, name
    read = [json.loads(file.read_text("utf-8")) for file in files]
    return pytest.mark.parametrize("numbers", read, ids=[file.stem for file in files])


def tensor(values: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Tensor of nested lists; fp64 as most of the numbers are."""
    return torch.tensor(values, dtype=dtype)


def close(found: torch.Tensor, expected: Any, tolerance: float = 1e-6) -> None:
    """Compare with the numbers of a file, absolutely and relatively."""
    wanted = torch.as_tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found.detach(), wanted, atol=tolerance, rtol=tolerance)
