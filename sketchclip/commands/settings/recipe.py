"""Options of an optimizer and a schedule, for any method."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser, instantiate_class

from data_modules.ranges import Natural
from sketchclip.callbacks.averaging import WeightAverage
from sketchclip.callbacks.recipe import Recipe

_USUAL = {"optimizer": None, "lr_scheduler": None, "lr_interval": "epoch", "lr_warmup": 0}
"""Settings of a run that keeps a method's own optimizer and schedule."""

_NO_AVERAGE = {"decay": None, "start": 0}


def add_recipe(parser: LightningArgumentParser) -> None:
    """Add the options to the parser of a command."""
    parser.add_optimizer_args()
    parser.add_lr_scheduler_args()
    parser.add_argument(
        "--lr_interval",
        type=Literal["epoch", "step"],
        default=_USUAL["lr_interval"],
        help="Unit of --lr_scheduler and --lr_warmup.",
    )
    parser.add_argument(
        "--lr_warmup",
        type=Natural,
        default=_USUAL["lr_warmup"],
        help="Epochs or steps, see --lr_interval, in which rates rise in a straight line.",
    )


def recipe_settings(config: Namespace) -> dict[str, Any]:
    """Settings that a run which goes on shares; a rate of None is each group's own."""
    found = {name: config.get(name, _USUAL[name]) for name in _USUAL}
    plain = {n: v.as_dict() if isinstance(v, Namespace) else v for n, v in found.items()}
    average = vars(config.get("ema") or Namespace())
    return {**plain, "ema": average if average.get("decay") is not None else _NO_AVERAGE}


def saved_recipe(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a checkpoint has kept, in the form of :func:`recipe_settings`."""
    states = checkpoint.get("callbacks", {})
    kept = states.get(Recipe.__name__, {}).get("settings", _USUAL)
    return {**kept, "ema": states.get(WeightAverage.__name__, _NO_AVERAGE)}


def made_recipe(config: Namespace) -> Recipe | None:
    """Make the callback of the options; None where they are as usual."""
    shared = recipe_settings(config)
    settings = {name: shared[name] for name in _USUAL}
    if settings == _USUAL:
        return None
    optimizer, scheduler = config.get("optimizer"), config.get("lr_scheduler")
    return Recipe(
        None if optimizer is None else partial(_make_optimizer, optimizer),
        None if scheduler is None else partial(_make_schedule, scheduler),
        config.lr_interval,
        config.lr_warmup,
        own_rates=optimizer is None or _arguments(optimizer).get("lr") is None,
        settings=settings,
    )


def _make_optimizer(chosen: Namespace, groups: list[dict[str, Any]]) -> Any:
    arguments = _arguments(chosen)
    if arguments.get("lr", 0) is None:  # each group has one
        arguments["lr"] = groups[0]["lr"]
    return instantiate_class(groups, {"class_path": chosen.class_path, "init_args": arguments})


def _make_schedule(chosen: Namespace, optimizer: Any) -> Any:
    arguments = _arguments(chosen)
    return instantiate_class(optimizer, {"class_path": chosen.class_path, "init_args": arguments})


def _arguments(chosen: Namespace) -> dict[str, Any]:
    return dict(vars(chosen.get("init_args") or Namespace()))
