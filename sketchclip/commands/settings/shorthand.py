"""Short forms of the command line, spelled out before it is parsed."""

import re
from collections.abc import Sequence
from pathlib import Path

from sketchclip.commands.arguments import TRAINER_COMMANDS
from sketchclip.config import read_settings
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.find import find_checkpoint
from sketchclip.runs.folder import LAST, ROOT, config_of

_SAVE_DIR = ("--trainer.logger.save_dir", "--trainer.logger.init_args.save_dir")
# Settings of a dataset with their defaults, which do not carry over to another one.
_OF_A_DATASET = {
    **dict.fromkeys(("root", "sketch_files", "photo_files", "split", "prepared"), "null"),
    **{"train_fraction": "1", "seen_classes": "null", "gallery": "dedup"},
    **{"generalized": "0", "generalized_queries": "unseen"},
}
_METHOD = frozenset({"--config", "--model", "--model.class_path"})
_NAME_IT = (
    "Name method and data: --config FILE, or --model CLASS and --data CLASS with their settings."
)
_NEGATIVE = re.compile(r"-(\d*\.?\d+e[-+]?\d+|\.?inf|\.?nan)", re.IGNORECASE)
_SHORT = {"wandb": "sketchclip.loggers.WandbRun", "csv": "sketchclip.loggers.RunFiles"}


def spell_out(args: Sequence[str]) -> list[str]:
    """Resolve short forms of a command and its options for LightningCLI.

    ``--trainer.logger=wandb`` names a class. ``--ckpt_path`` becomes a file. Where neither a config
    nor a model is given, a run is evaluated or continued with its own config, under all other
    options, and without a checkpoint it is the last run that is evaluated.

    Raises:
        SketchClipError: If there is no such checkpoint, or nothing says which method it is of.
    """
    args = list(args)
    asked = any(a == "-h" or a.partition("=")[0].endswith(("--help", ".help")) for a in args)
    if not args or args[0] not in TRAINER_COMMANDS or asked:
        return args
    # Options such as -1e-4 and -.inf are numbers; argparse knows -1 and -0.5 alone.
    for at in reversed(range(1, len(args))):
        if args[at - 1].startswith("--") and _NEGATIVE.fullmatch(args[at]):
            args[at - 1 : at + 1] = [f"{args[at - 1]}={args[at]}"]
    for at, (before, word) in enumerate(zip(["", *args], [*args], strict=False)):
        name, equals, value = word.partition("=")
        if equals and name == "--trainer.logger":
            args[at] = f"{name}={_SHORT.get(value, value)}"
        elif before == "--trainer.logger":
            args[at] = _SHORT.get(word, word)
    names = {arg.partition("=")[0] for arg in args}
    configured = any(a.startswith("-c") for a in names) or not names.isdisjoint(_METHOD)
    root = next((Path(v) for name in _SAVE_DIR if (v := option(args, name)[1])), ROOT)
    at, checkpoint = option(args, "--ckpt_path")
    if checkpoint is None and args[0] != "fit" and not configured:
        at, checkpoint = len(args), LAST
    if checkpoint is None or checkpoint == "null":
        lost = [name for name in names if name.startswith("--model.")]
        if lost and not configured:
            raise SketchClipError(f"{min(lost)} is a setting of which method? {_NAME_IT}")
        return args
    path = find_checkpoint(checkpoint, root)
    del args[at : at + (1 if args[at : at + 1] == [f"--ckpt_path={checkpoint}"] else 2)]
    args.insert(at, f"--ckpt_path={path}")
    config = None if configured else config_of(Path(path))
    if config is None and not configured:
        raise SketchClipError(f"{path} has no config.yaml of its run beside it. {_NAME_IT}")
    if config is not None:
        print(f"{args[0]}: {path} with the settings of {config}")
        args[1:1] = ["--config", str(config), *_other_data(args, config)]
    return args


def _other_data(args: list[str], config: Path) -> list[str]:
    """Take back what a run's config says of its own dataset, where another one is named.

    The folder of Sketchy, its split and the part of it that trained are nothing to TU-Berlin.
    """
    name = option(args, "--data")[1]
    data = read_settings(config).get("data")
    if name is None or not isinstance(data, dict):
        return []
    if str(data.get("class_path")).rpartition(".")[2] == name.rpartition(".")[2]:
        return []
    set_there = {*(data.get("init_args") or {})} & {*_OF_A_DATASET}
    return [f"--data.{key}={_OF_A_DATASET[key]}" for key in _OF_A_DATASET if key in set_there]


def option(args: list[str], name: str) -> tuple[int, str | None]:
    """Find position and value of the last use of an option."""
    for at in range(len(args) - 1, -1, -1):
        if args[at].startswith(f"{name}="):
            return at, args[at].partition("=")[2]
        if args[at] == name and at + 1 < len(args):
            return at, args[at + 1]
    return len(args), None
