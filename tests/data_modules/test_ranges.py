"""Numbers that arguments may have: one rule for flags, configs and Python."""

import copy
import math
import pickle
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules import SketchPhotoFolder
from data_modules.ranges import (
    CheckedArguments,
    Count,
    Natural,
    Part,
    Positive,
    Range,
    Seed,
    range_error,
)
from sketchclip.adaptations import DeepPrompts, IndependentPrompts
from sketchclip.errors import SketchClipError
from sketchclip.methods import ZeroShotPromptLearning


class Parts(CheckedArguments):
    def __init__(self, size: Count, parts: tuple[Part, ...] = (), other: int = 0) -> None:
        self.given = size, parts, other


@pytest.mark.parametrize("value", [-1, 0, -0.5, math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize("kind", [Count, Positive, Count | None, Literal["clip"] | Positive])
def test_what_no_range_holds(kind: Any, value: Any) -> None:
    assert str(value) in (range_error(kind, value) or "")


@pytest.mark.parametrize("value", [None, True, "auto", "0", [], {}])
def test_what_is_no_number_is_left_to_the_types(value: Any) -> None:
    assert range_error(Count | None, value) is None


@given(st.floats(), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_range_holds_finite_numbers_between_its_ends(value: float, low: float, high: float):
    assert (value in Range(low, high)) == (low <= value <= high and math.isfinite(value))
    inside = value in Range(low, high, open_low=True, open_high=True)
    assert inside == (low < value < high and math.isfinite(value))


def test_of_two_ranges_the_type_decides() -> None:
    assert range_error(Part | Natural, 12) is None
    assert range_error(Part | Natural, 0.5) is None
    assert "found 1.5" in str(range_error(Part | Natural, 1.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Parts(0), "size of Parts: expected at least 1, found 0"),
        (lambda: Parts(1, parts=(0.5, 2.0)), "parts of Parts: expected 0 to 1, found 2.0"),
        (lambda: SketchPhotoFolder(batch_size=-4), "batch_size .*at least 1, found -4"),
        (lambda: SketchPhotoFolder(num_workers=-1), "num_workers .*at least 0, found -1"),
        (lambda: DeepPrompts(0), "n_prompts of DeepPrompts"),
        (lambda: ZeroShotPromptLearning(["a"], margin=math.nan), "margin .*found nan"),
        (lambda: ZeroShotPromptLearning(["a"], cls_temperature=0), "cls_temperature .*found 0"),
    ],
)
def test_constructors_refuse_numbers_before_they_do_anything(make: Any, message: str) -> None:
    with pytest.raises(SketchClipError, match=message):
        make()


def test_wrong_arguments_are_named_by_the_constructor_itself() -> None:
    with pytest.raises(TypeError, match="sizes"):
        Parts(sizes=1)  # type: ignore[call-arg]


def test_copies_need_no_arguments() -> None:
    one = Parts(3, (0.5,), -7)
    assert pickle.loads(pickle.dumps(one)).given == copy.deepcopy(one).given == one.given
    assert copy.deepcopy(IndependentPrompts(2)).n_prompts == 2


def test_seeds_are_those_that_numpy_and_lightning_take() -> None:
    assert range_error(Seed, 2**32 - 1) is None
    assert range_error(Seed, 2**32) is not None
