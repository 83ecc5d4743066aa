"""Packages and accounts that a chosen class of the trainer needs, and that are not there."""

import re

from sketchclip.errors import first_line
from sketchclip.system.tracebacks import raised_in

_NAMED = (
    r"Requirement '([^']+)' not met",
    r"Module not found: '([^']+)'",
    r"No module named '([\w.]+)'",
    r"pip install (?:-U )?['\"]?([\w\[\].<>=-]+)",
    r"[Yy]ou must have `?(\w+)`? installed",
)
_EXTRAS = {"tensorboard": "sketchclip[tensorboard]", "tensorboardX": "sketchclip[tensorboard]"}
"""What brings a package at a version that was tested."""

_LOG_IN = {
    "wandb": "Log in, or record on this machine with WANDB_MODE=offline",
    "comet_ml": "Set COMET_API_KEY, see the pages of Comet",
    "neptune": "Set NEPTUNE_API_TOKEN and NEPTUNE_PROJECT, see the pages of Neptune",
    "mlflow": "See whether its server runs and may be written to",
}
"""Services of Lightning's loggers, by the package whose errors they raise."""


def missing_package(error: BaseException, _: str) -> str | None:
    """An accelerator, strategy, plugin or logger of Lightning whose package is not installed."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    ours = raised_in(error).partition(".")[0] not in ("lightning", "lightning_utilities")
    if ours or kinds.isdisjoint({"ImportError", "MisconfigurationException"}):
        return None
    named = next((found[1] for form in _NAMED if (found := re.search(form, str(error)))), None)
    if named is None and "ImportError" not in kinds:
        return None
    named = _EXTRAS.get(named or "", named)
    needed = f"the package {named}" if named else f"another package: {first_line(error)}"
    install = f"pip install '{named}'" if named else "pip"
    return (
        "A setting of the trainer (accelerator, strategy, plugin, callback, logger) needs "
        f"{needed.rstrip('.')}. Install it with {install}, or leave the setting out."
    )


def account(error: BaseException, _: str) -> str | None:
    """A service that records runs and refuses, for example for want of an account."""
    service = type(error).__module__.partition(".")[0]
    if service not in _LOG_IN:
        return None
    told = first_line(error).rstrip(".")
    return f"{service}: {told}. {_LOG_IN[service]}, or choose another --trainer.logger."
