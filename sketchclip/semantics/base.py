"""What is known of classes without their images: the interface of methods that need it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class ClassSemantics(nn.Module, ABC):
    """Gives a vector for each class name.

    A subclass keeps its constructor's arguments as attributes of the same names, and has no
    parameters: its vectors are computed before training and stay as they are.
    """

    @abstractmethod
    def vectors(self, class_names: Sequence[str]) -> Tensor:
        """Vectors of classes, fp32, shape (C, V)."""

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the vectors come from, for results."""
