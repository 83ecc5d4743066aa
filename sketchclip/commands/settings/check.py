"""Settings of LightningCLI commands that cannot be, found before anything is loaded."""

import inspect
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Annotated, Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim import Optimizer

from data_modules.ranges import (
    Count,
    Finite,
    Natural,
    NonNegative,
    Part,
    Range,
    Seed,
    SomePart,
    check_arguments,
    range_error,
)
from sketchclip.callbacks.averaging import WeightAverage
from sketchclip.callbacks.grids import RetrievalGrids
from sketchclip.errors import SketchClipError, first_line

Endless = Annotated[int, Range(-1)]
"""-1 for no end."""

# Of classes that name no ranges themselves.
_RANGES: dict[Any, dict[str, Any]] = {
    Trainer: {
        "num_nodes": Count,
        "fast_dev_run": Natural,
        "max_epochs": Endless,
        "min_epochs": Natural,
        "max_steps": Endless,
        "min_steps": Natural,
        **{f"limit_{part}_batches": Part | Natural for part in ("train", "val", "test", "predict")},
        "overfit_batches": Part | Natural,
        "val_check_interval": SomePart | Count,
        "check_val_every_n_epoch": Count,
        "num_sanity_val_steps": Endless,
        "log_every_n_steps": Natural,
        "accumulate_grad_batches": Count,
        "gradient_clip_val": NonNegative,
        "reload_dataloaders_every_n_epochs": Natural,
    },
    Optimizer: {"lr": NonNegative, "weight_decay": NonNegative},
    EarlyStopping: {"patience": Natural, "min_delta": NonNegative, "stopping_threshold": Finite},
    ModelCheckpoint: {
        "save_top_k": Endless,
        "every_n_epochs": Natural,
        "every_n_train_steps": Natural,
    },
}
_RISING = re.compile(r"val/(seen_|H_)?(mAP|P|Acc)@")
"""Names of metrics of which more is better."""
_WORKS_ON = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
"""Batches of a command, without which it does nothing."""


def check_settings(command: str, config: Namespace) -> None:
    """Refuse numbers outside their range, and switches of the trainer that a run cannot do without.

    Args:
        command: fit, validate, test or predict.
        config: Its settings.

    Raises:
        SketchClipError: Names the option as it is typed, what was expected and what was found.
    """
    seed = config.get("seed_everything")
    if wrong := range_error(Seed, seed):
        raise SketchClipError(f"--seed_everything: {wrong}.")
    if wrong := range_error(Natural, config.get("lr_warmup")):
        raise SketchClipError(f"--lr_warmup: {wrong}.")
    _check(Trainer, config.trainer, "--trainer.")
    for name, kind in (("grids", RetrievalGrids), ("ema", WeightAverage)):
        check_arguments(kind, vars(config.get(name) or Namespace()), f"--{name}.")
    for name, value in vars(config).items():
        _check_classes(value, f"--{name}.")
    trainer = config.trainer
    devices = trainer.get("devices")
    if str(devices) == "0" or (str(devices).startswith("-") and str(devices) != "-1"):
        raise SketchClipError(
            f"--trainer.devices: expected at least 1, -1 for all, auto, or a list such as 0,1, "
            f"found {devices}."
        )
    limit = f"limit_{_WORKS_ON[command]}_batches"
    if trainer.get(limit) is not None and not trainer.get(limit):
        raise SketchClipError(f"--trainer.{limit}: expected more than 0 in '{command}', found 0.")
    if trainer.get("enable_checkpointing") is False:
        raise SketchClipError(
            "--trainer.enable_checkpointing: expected true, found false. Results are those of a "
            "checkpoint, so a run keeps its last and its best one. Leave the option out; "
            "--trainer.fast_dev_run 1 tries a run without keeping anything."
        )


def _check_classes(value: Any, prefix: str) -> None:
    """Check the arguments of a class and of those inside it."""
    if isinstance(value, list):
        for part in value:
            _check_classes(part, prefix)
    if not isinstance(value, Namespace):
        return
    arguments = value.get("init_args", value if "class_path" not in value else Namespace())
    if "class_path" in value:
        kind = resolve_name(value.class_path)
        _check(kind, arguments, prefix)
        _check_callback(kind, vars(arguments or Namespace()), prefix)
    for name, part in vars(arguments or Namespace()).items():
        _check_classes(part, f"{prefix}{name}.")


def _check_callback(kind: Any, given: Mapping[str, Any], prefix: str) -> None:
    """Refuse a callback that would watch a metric the wrong way round, or average all of CLIP."""
    monitor = str(given.get("monitor"))
    if _RISING.match(monitor) and given.get("mode") == "min":
        raise SketchClipError(
            f"{prefix}mode: expected max, found min. {kind.__name__} watches {monitor}, of which "
            f"more is better: add {prefix}mode max."
        )
    if any(base.__name__ == "WeightAveraging" for base in inspect.getmro(kind)):
        raise SketchClipError(
            f"{prefix.rstrip('.')}: {kind.__name__} writes all of a frozen network into each "
            "checkpoint and copies a method before it is complete. Use --ema.decay 0.999."
        )


def _check(constructor: Any, arguments: Namespace | None, prefix: str) -> None:
    given = vars(arguments or Namespace())
    check_arguments(constructor, given, prefix)
    bases = inspect.getmro(constructor) if inspect.isclass(constructor) else ()
    known = next((_RANGES[base] for base in bases if base in _RANGES), {})
    for name, annotation in known.items():
        if wrong := range_error(annotation, given.get(name)):
            raise SketchClipError(f"{prefix}{name}: {wrong}.")


@contextmanager
def lightning_errors(settings: Mapping[str, Any]) -> Iterator[None]:
    """Say in one message what Lightning refuses; other errors pass.

    Args:
        settings: The trainer's.

    Raises:
        SketchClipError: The settings that it is about, and Lightning's first line.
    """
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        refused = next((e for e in _causes(error) if _of_lightning(e)), None)
        # A package that is not installed is told wherever it is found out.
        if (
            isinstance(error, SketchClipError)
            or refused is None
            or isinstance(refused, ImportError)
        ):
            raise
        told, usual = first_line(refused), inspect.signature(Trainer.__init__).parameters
        made = {
            name: str(value)
            for name, value in settings.items()
            if isinstance(value, str | int | float) and value != usual[name].default
        }
        named = [n for n in made if n in told] or [
            n for n in made if len(made[n]) > 2 and made[n] in told
        ]
        about = ", ".join(f"--trainer.{name} {made[name]}" for name in named)
        raise SketchClipError(f"{about or 'Settings of the trainer'}: {told}") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: jsonargparse wraps what a constructor raises."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_lightning(error: BaseException) -> bool:
    """Whether Lightning's own code refused something: an error of ours keeps its traceback."""
    frame = [None, *(frame for frame, _ in traceback.walk_tb(error.__traceback__))][-1]
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("lightning.")


@contextmanager
def missing_monitors(trainer: Trainer) -> Iterator[None]:
    """Say what is logged where a callback watches something else."""
    try:
        yield
    except (MisconfigurationException, RuntimeError) as error:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        watching = {name: cb for cb in callbacks if (name := getattr(cb, "monitor", None))}
        logged = sorted(trainer.callback_metrics)
        for name, callback in watching.items():
            if name not in logged and name in str(error) and _of_lightning(error):
                raise SketchClipError(
                    f"{type(callback).__name__} watches {name!r} (monitor), which is not logged. "
                    f"Logged: {', '.join(logged)}."
                ) from error
        raise
