"""What a checkpoint leaves to train, and settings that cannot be changed on the way."""

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from sketchclip.errors import SketchClipError
from sketchclip.runs.reading import flat_settings

_RESUMED = ("epoch", "global_step", "loops", "optimizer_states", "lr_schedulers")
_LIGHTNINGS_EPOCHS = 1000
"""Epochs that Lightning trains where no limit is given."""
_UNITS = {"max_epochs": "epoch", "max_steps": "step"}


def check_same_settings(
    path: str, saved: Mapping[str, Any], settings: Mapping[str, Any], free: Collection[str]
) -> None:
    """Refuse settings of a method that differ from those that a checkpoint was trained with.

    Args:
        path: The checkpoint, for messages.
        saved: Its settings.
        settings: Those of the command.
        free: Names of settings that may differ.

    Raises:
        SketchClipError: If others do; the message names both values of each.
    """
    was, now = flat_settings(saved), flat_settings(settings)
    conflicts = [
        f"  model.{key}: {now[key]!r} here, {value!r} in the checkpoint"
        for key, value in was.items()
        if key in now and key.rpartition(".")[2] not in free and now[key] != value
    ]
    _refuse(path, conflicts)


def check_same_recipe(path: str, saved: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to go on with another optimizer, schedule or average than those of a checkpoint.

    Args:
        path: The checkpoint, for messages.
        saved: Its settings.
        settings: Those of the command.

    Raises:
        SketchClipError: If they differ; the message names both values of each.
    """
    was, now = flat_settings(saved), flat_settings(settings)
    # Arguments of two classes are not compared with each other.
    other = {key for key in was.keys() & now.keys() if "." not in key and was[key] != now[key]}
    names = [*dict.fromkeys((*now, *was))]
    _refuse(
        path,
        [
            f"  {key}: {now.get(key)!r} here, {was.get(key)!r} in the checkpoint"
            for key in names
            if was.get(key) != now.get(key) and (key in other or key.partition(".")[0] not in other)
        ],
    )


def _refuse(path: str, conflicts: list[str]) -> None:
    if conflicts:
        raise SketchClipError(
            f"Settings conflict with {path}:\n" + "\n".join(conflicts) + "\nUse the checkpoint's "
            "settings: leave these flags out, or take --config <its run>/config.yaml. To train "
            "with others, start a new run without --ckpt_path."
        )


def check_limits(
    trainer: Mapping[str, Any], path: str | None = None, checkpoint: Mapping[str, Any] | None = None
) -> None:
    """Refuse a training that would end before its first batch.

    Args:
        trainer: Settings of the Trainer.
        path: Checkpoint that training goes on from, if any.
        checkpoint: Its content.

    Raises:
        SketchClipError: If the limits allow no batch, the checkpoint has reached one of them, or
            it does not hold the state of its training.
    """
    if checkpoint is not None:
        absent = [name for name in _RESUMED if name not in checkpoint]
        if absent:
            raise SketchClipError(
                f"{path} holds no state of its training ({', '.join(absent)}), so that it cannot "
                "go on. Continue from <run>/checkpoints/last.ckpt, or use 'sketchclip test'."
            )
        if trainer.get("fast_dev_run"):
            raise _nothing(
                "trainer.fast_dev_run tries the first batches of a run, and --ckpt_path goes on "
                "with one. Leave one of them out."
            )
    done = _progress(path, checkpoint or {})
    for name, limit in _limits(trainer).items():
        if done[name] < limit:
            continue
        asked = f"trainer.{name} is {trainer.get(name) or limit}"
        if checkpoint is None:
            raise _nothing(
                f"{asked}. Expected more, or -1 for no limit of epochs or steps. 'sketchclip test' "
                "measures a model as it is."
            )
        all_done = done[name] == limit and name != "max_time"
        state = f"All {_UNITS.get(name)}s are done" if all_done else "Nothing is left to train"
        more = "" if name == "max_time" else f" {done[name] + 1} or more"
        raise SketchClipError(
            f"{state}: {_counted(name, done[name], path)}, {asked}. To train "
            f"on, use --trainer.{name}{more}; to measure it, 'sketchclip test --ckpt_path {path}'."
        )


def _nothing(why: str) -> SketchClipError:
    return SketchClipError(f"There is nothing to train: {why}")


def _counted(name: str, number: Any, path: str | None) -> str:
    if name == "max_time":
        return f"the training of {path} has taken {timedelta(seconds=int(number.total_seconds()))}"
    return f"the checkpoint {path} has {number:,} {_UNITS[name]}{'s' * (number != 1)}"


def _progress(path: str | None, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs, steps and time that a checkpoint's training took."""
    try:
        loop = checkpoint.get("loops", {}).get("fit_loop", {})
        callbacks = checkpoint.get("callbacks", {})
        timers = [callbacks[name] for name in callbacks if str(name).startswith("Timer")]
        seconds = [timer.get("time_elapsed", {}).get("train", 0) for timer in timers]
        return {
            # Lightning compares these: an epoch is complete only after its checkpoint is written.
            "max_epochs": int(loop["epoch_progress"]["current"]["processed"]) if loop else 0,
            "max_steps": int(checkpoint.get("global_step", 0)),
            "max_time": timedelta(seconds=max(seconds, default=0)),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SketchClipError(
            f"{path}: the state of its training is damaged ({error!r}), so that it cannot go on. "
            "Continue from another checkpoint, or train anew."
        ) from error


def _limits(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Limits of a training; those that Lightning refuses itself are none."""
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    time = _time(trainer.get("max_time"))
    if epochs is None and steps == -1 and time is None:
        epochs = _LIGHTNINGS_EPOCHS
    limits = {"max_epochs": epochs, "max_steps": steps, "max_time": time}
    return {n: limit for n, limit in limits.items() if limit is not None and limit != -1}


def _time(value: Any) -> timedelta | None:
    if isinstance(value, str):
        parts = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", value.strip())
        names = ("days", "hours", "minutes", "seconds")
        value = dict(zip(names, map(int, parts.groups()), strict=True)) if parts else None
    try:
        return timedelta(**value) if isinstance(value, Mapping) else value
    except TypeError:
        return None
