"""Notes of the precision of products while a run goes on."""

from collections import defaultdict
from typing import Any

import torch
from lightning.pytorch import Callback


class Matmul(Callback):
    """Keeps what ``torch.get_float32_matmul_precision`` said in each kind of step."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = defaultdict(set)

    def on_train_batch_start(self, *_: Any) -> None:
        self.seen["train"].add(torch.get_float32_matmul_precision())

    def on_validation_batch_start(self, *_: Any) -> None:
        self.seen["validate"].add(torch.get_float32_matmul_precision())
