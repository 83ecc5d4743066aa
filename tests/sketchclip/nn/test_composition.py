"""Parts of methods and their settings."""

from torch import nn

from sketchclip.nn import describe


class Plain(nn.Module):
    """Has no constructor of its own."""


class Sized(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width


def test_a_part_is_described_as_a_config_has_it() -> None:
    assert describe(Sized(5))["init_args"] == {"width": 5}
    assert describe(Sized())["class_path"].endswith(".Sized")
    assert describe(Plain())["init_args"] == {}
