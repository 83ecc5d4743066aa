"""Import of torchmetrics without what only other users of it need.

torchmetrics, which Lightning imports as well, loads Matplotlib for plots of its metrics,
torchvision for metrics of images and scipy.signal to mend another package: two of the ten seconds
that a command took to start. None of these metrics is used here.
"""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_HIDDEN = {"matplotlib", "torchvision", "SciencePlots"}
_NAME = "scipy.signal"


def import_torchmetrics() -> None:
    """Import ``torchmetrics`` as if some packages were missing, which are there again after.

    In this process torchmetrics' own plots and its metrics of images that need torchvision say that
    these are not installed. Where torchmetrics is loaded already, nothing is changed.
    """
    if "torchmetrics" in sys.modules or find_spec("lightning_utilities") is None:
        return
    from lightning_utilities.core.imports import RequirementCache

    whole: Any = RequirementCache.__bool__

    def without(requirement: Any) -> bool:
        name = requirement.requirement or requirement.module or ""
        return name not in _HIDDEN and bool(whole(requirement))

    stands_in = _NAME not in sys.modules
    RequirementCache.__bool__ = without  # type: ignore[method-assign, assignment]
    if stands_in:
        sys.modules[_NAME] = ModuleType(_NAME)
        sys.modules[_NAME].hamming = None  # type: ignore[attr-defined]
    try:
        import torchmetrics
    finally:
        RequirementCache.__bool__ = whole  # type: ignore[method-assign]
        if stands_in:
            del sys.modules[_NAME]
            vars(sys.modules.get("scipy", ModuleType("scipy"))).pop("signal", None)
    del torchmetrics
