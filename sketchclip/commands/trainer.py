"""LightningCLI with links between data and model, layered configs and compact checkpoints."""

import logging
import shlex
import signal
import sys
import warnings
from argparse import SUPPRESS
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import Namespace, lazy_instance
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from data_modules import SketchPhotoDataModule
from sketchclip.callbacks.averaging import WeightAverage
from sketchclip.callbacks.best import BestCheckpoint, how_to_resume
from sketchclip.callbacks.config import RunConfig
from sketchclip.callbacks.cost import TrainingCost
from sketchclip.callbacks.embeddings import EmbeddingWriter
from sketchclip.callbacks.grids import RetrievalGrids
from sketchclip.callbacks.log_interval import LogInterval
from sketchclip.callbacks.preemption import Preemption
from sketchclip.callbacks.progress import EpochProgress
from sketchclip.callbacks.report import RunReport
from sketchclip.callbacks.speed import Speed
from sketchclip.callbacks.training import TrainingReport
from sketchclip.checkpoint import CompactCheckpointIO
from sketchclip.commands.parser_errors.given import Given
from sketchclip.commands.parser_errors.parser import PlainParser
from sketchclip.commands.settings.check import check_settings, lightning_errors, missing_monitors
from sketchclip.commands.settings.class_names import load_named
from sketchclip.commands.settings.recipe import (
    add_recipe,
    made_recipe,
    recipe_settings,
    saved_recipe,
)
from sketchclip.commands.settings.shorthand import spell_out
from sketchclip.config import LayeredConfig, consumed
from sketchclip.loggers import RunFiles, WandbRun, with_files
from sketchclip.methods.base import RetrievalModule
from sketchclip.pretrained.checkpoint_file import read_checkpoint
from sketchclip.pretrained.find import find_checkpoint
from sketchclip.runs.folder import RunFolder, is_run
from sketchclip.runs.resume import check_limits, check_same_recipe, check_same_settings
from sketchclip.system.signals import say_stopped, stop_status

# The data decides the class names (a test may be on other data), and the backbone's hash, not the
# path of its file, says whether the weights are the same.
_NOT_COMPARED = frozenset({"class_names", "pretrained"})

_LOGGER = lazy_instance(RunFiles)


class SketchClipCLI(LightningCLI):
    """``fit``, ``validate``, ``test`` and ``predict`` for any method on any dataset."""

    def __init__(self, *args: Any, command: str, **kwargs: Any) -> None:
        self._command, self._given = command, Given(kwargs["args"])
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return only the command that runs: parsers of all four take most of a start."""
        return {n: skip for n, skip in super().subcommands().items() if n == self._command}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Build a parser whose ``--config`` understands ``extends``."""
        parser = PlainParser(**kwargs)
        parser.given = self._given  # of both parsers, of the program and of its command
        parser.add_argument(
            "-c",
            "--config",
            action=LayeredConfig,
            help="YAML with settings; may be given several times, the last one wins.",
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link class names of the data to the arguments of methods."""
        parser.add_argument(
            "--extends",
            type=consumed,
            default=None,
            help=SUPPRESS,  # a line of configs, no flag
        )
        parser.link_arguments(
            "data.class_names", "model.init_args.class_names", apply_on="instantiate"
        )
        parser.add_lightning_class_args(RetrievalGrids, "grids")
        parser.add_lightning_class_args(Speed, "speed")
        parser.add_lightning_class_args(WeightAverage, "ema")
        add_recipe(parser)

    def _prepare_subcommand_parser(self, *args: Any, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(*args, **kwargs)
        for action in parser._actions:
            if action.dest == "ckpt_path":  # Lightning's text names fewer forms
                action.help = (
                    "last or best of the last run, a run folder, a .ckpt or .safetensors file, or "
                    "owner/name on the Hugging Face hub."
                )
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and refuse numbers that cannot be before anything is seeded or loaded."""
        super().parse_arguments(parser, args)
        check_settings(self.config.subcommand, self.config[self.config.subcommand])

    def before_instantiate_classes(self) -> None:
        """Put results of an evaluation where they belong, unless the user names another folder."""
        config = self.config[self.subcommand]
        logger = config.trainer.get("logger")
        options = logger.get("init_args") if isinstance(logger, Namespace) else None
        known = {"save_dir", "name"} <= {*vars(options or Namespace())}
        if options is None or not known:
            return
        command, checkpoint = str(self.subcommand), config.get("ckpt_path")
        if command != "fit" and is_run(options.get("version"), checkpoint):
            options.version = None  # the folder of the training, from its config
        if options.get("version") is not None:
            return
        method = config.model.class_path.rpartition(".")[2]
        folder = RunFolder.for_command(command, options.save_dir, options.name, checkpoint, method)
        if folder.kind != "version":
            options.save_dir, options.name = str(folder.parent), ""
            if "kind" in options:
                options.kind = folder.kind
            else:  # Lightning's own loggers take a name and make the folder themselves
                options.version = folder.free().name

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, or say in one message what Lightning refuses."""
        with lightning_errors(self.config[self.subcommand].trainer.as_dict()):
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Keep the run in one folder, with compact checkpoints unless the user sets a plugin."""
        trainer = self._get(self.config_init, "trainer")
        kwargs["logger"] = with_files(trainer.get("logger"))
        shown, given = trainer.get("enable_progress_bar"), trainer.get("callbacks") or []
        given = given if isinstance(given, list) else [given]
        if shown is None and not sys.stderr.isatty():
            kwargs["enable_progress_bar"] = False  # a log has no use for one
        elif shown is not False and not any(isinstance(each, ProgressBar) for each in given):
            # First of all, so that its line is free before others print.
            given = [EpochProgress(), *given]
        recipe = made_recipe(self.config["fit"]) if self.subcommand == "fit" else None
        kwargs["callbacks"] = given if recipe is None else [*given, recipe]
        plugins = trainer.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, CompactCheckpointIO()]
        chosen = any(isinstance(plugin, ClusterEnvironment) for plugin in plugins)
        if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect() and not chosen:
            # Lightning's checkpoints of a requeued job lie in the working directory, and any later
            # command there would go on with them.
            plugins = [*plugins, SLURMEnvironment(auto_requeue=False)]
        return super().instantiate_trainer(plugins=plugins, **kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        settings = self.config[subcommand].trainer.as_dict()
        before = signal.getsignal(signal.SIGINT)
        try:
            with lightning_errors(settings), missing_monitors(self.trainer):
                super()._run_subcommand(subcommand)
        except SystemExit as stop:
            if self.trainer.interrupted and isinstance(stop.__context__, KeyboardInterrupt):
                say_stopped(how_to_resume(self.trainer))
                raise SystemExit(stop_status(stop.__context__)) from None
            raise
        finally:
            if before is not None and signal.getsignal(signal.SIGINT) is not before:
                signal.signal(signal.SIGINT, before)  # Lightning ignores all but the first
            for logger in self.trainer.loggers:
                if isinstance(logger, WandbRun):
                    logger.close()
                if isinstance(logger, RunFiles):
                    logger.discard_empty(failed=sys.exc_info()[0] is not None)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        options = super()._prepare_subcommand_kwargs(subcommand)
        if subcommand in ("validate", "test"):
            options["verbose"] = False  # RunReport prints one table for both loaders
        return options

    def _parse_ckpt_path(self) -> None:
        # Lightning would let the checkpoint's hyper-parameters replace the user's in silence.
        command = self.config.subcommand
        config, path, checkpoint = self.config[command], None, None
        if config.get("ckpt_path"):
            path = config.ckpt_path = find_checkpoint(config.ckpt_path)
            if Path(path).is_file():
                checkpoint = read_checkpoint(Path(path), ["pytorch-lightning_version"])
                now = config.model.get("init_args", Namespace()).as_dict()
                free = _NOT_COMPARED | {*_class(config.model.class_path).test_settings}
                check_same_settings(path, checkpoint["hyper_parameters"], now, free)
                if command == "fit":
                    check_same_recipe(path, saved_recipe(checkpoint), recipe_settings(config))
        if command == "fit":
            check_limits(config.trainer.as_dict(), path, checkpoint)


def _class(path: str) -> type[RetrievalModule]:
    module, _, name = path.rpartition(".")
    found: type[RetrievalModule] = getattr(import_module(module), name)
    return found


def run_cli(args: Sequence[str] | None) -> SketchClipCLI:
    """Parse and run one command.

    Args:
        args: Subcommand and its options; ``None`` for those of the process, which Lightning passes
            on to the processes that it starts.

    Returns:
        The CLI with ``trainer``, ``model`` and ``datamodule``.
    """
    typed = list(sys.argv[1:] if args is None else args)
    given = spell_out(typed)
    load_named(given)
    # TrainingReport names the device of a run; Lightning's banners add nothing to it.
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # Short forms are spelled out, and main(args) may be called by a program with its own arguments.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    # Known and meant: few workers suit small machines, the frozen CLIP stays in eval mode, a test
    # writes into a new folder, config.yaml is in the run folder before the first metric, the
    # metrics of all processes are equal, and Lightning calls a function that PyTorch deprecated.
    for message in (
        ".*does not have many workers",
        "Found .* module.s. in eval mode",
        "The dirpath has changed from",
        "Experiment logs directory .* exists and is not empty",
        "It is recommended to use `self.log.*sync_dist=True",
        "Total length of `list` across ranks is zero",
        "The number of training batches .* is smaller than the logging interval",
        "`isinstance.treespec, LeafSpec.` is deprecated",
        "Be aware that when using `ckpt_path`",
    ):
        warnings.filterwarnings("ignore", message=message)
    last = ModelCheckpoint(filename="last", enable_version_counter=False)
    return SketchClipCLI(
        RetrievalModule,
        SketchPhotoDataModule,
        command=given[0],
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_callback=RunConfig,
        save_config_kwargs={"command": shlex.join(["sketchclip", *typed])},
        trainer_defaults={
            "callbacks": [
                last,
                BestCheckpoint(),
                LogInterval(),
                TrainingReport(),
                TrainingCost(),
                RunReport(),
                EmbeddingWriter(),
                Preemption(),
            ],
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "logger": _LOGGER,
        },
        parser_kwargs={"prog": "sketchclip", "allow_abbrev": False},
        args=given,
    )
