"""What a training leaves behind, and the module that it was trained as, without its data."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from data_modules.batch import Preprocessing
from sketchclip.config import read_settings
from sketchclip.errors import SketchClipError, own_cause
from sketchclip.methods.base import RetrievalModule
from sketchclip.pretrained.checkpoint_file import read_checkpoint
from sketchclip.runs.folder import ABOUT, EXPORTED, FIT, config_of, run_of
from sketchclip.runs.results import METRICS_FILE, file_hash

_CLASS = "_class_path"
# Of a test: what the figures are, for people who meet the model without its run.
_RESULTS = (
    "metrics interval_95 definition dataset split protocol ranking class_vectors queries gallery "
    "training_classes unseen_classes partial seed precision"
).split()


@dataclass(frozen=True)
class Saved:
    """A checkpoint and the settings of its run.

    Attributes:
        checkpoint: The file.
        content: Tensors of ``state_dict``, ``hyper_parameters``, identity of the ``backbone``.
        config: Content of the run's config.yaml; empty where there is none.
    """

    checkpoint: Path
    content: dict[str, Any]
    config: dict[str, Any]

    @property
    def method(self) -> str:
        """Import path of the method's class.

        Raises:
            SketchClipError: If neither checkpoint nor config says it.
        """
        model = self.config.get("model") or {}
        found = self.content["hyper_parameters"].get(_CLASS) or model.get("class_path")
        if not found:
            raise SketchClipError(
                f"{self.checkpoint} does not say which method it was trained with. Put the "
                "config.yaml of its run beside it."
            )
        return str(found)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of the method's constructor, seen classes included."""
        saved = copy.deepcopy(self.content["hyper_parameters"])
        return {name: value for name, value in saved.items() if not name.startswith("_")}

    @property
    def pretrained(self) -> str | None:
        """Weights of the frozen encoder as the settings name them: a file, a tag, or None."""
        found: str | None = weights_settings(self.settings).get("pretrained")
        return found

    @property
    def preprocessing(self) -> Preprocessing:
        """Steps from an image to the input, as in training.

        Raises:
            SketchClipError: If the checkpoint has others than this version knows.
        """
        steps = self.content["preprocessing"]
        try:
            return Preprocessing(**steps | {name: tuple(steps[name]) for name in ("mean", "std")})
        except (KeyError, TypeError, ValueError) as error:
            reason = error if isinstance(error, SketchClipError) else repr(error)
            raise SketchClipError(
                f"{self.checkpoint}: its entry preprocessing cannot be used ({reason}). Expected "
                f"{', '.join(field.name for field in fields(Preprocessing))}."
            ) from error

    @property
    def place(self) -> Path:
        """The run folder, the folder of an exported model, or the file that is in neither."""
        alone = self.checkpoint.name != EXPORTED
        return run_of(self.checkpoint) or (self.checkpoint if alone else self.checkpoint.parent)

    @property
    def results(self) -> list[dict[str, Any]]:
        """Figures of each test of this checkpoint with their protocol; none if it was not tested.

        Raises:
            SketchClipError: If a file of results is damaged.
        """
        run, told = run_of(self.checkpoint), self.checkpoint.with_name(ABOUT)
        tested = run.parent if run and run.name == FIT else run
        files = [told] if told.is_file() else []
        files = sorted(tested.glob(f"test*/{METRICS_FILE}")) if tested else files
        digest, found = file_hash(self.checkpoint), []
        for file in files:
            try:
                content = json.loads(file.read_text("utf-8"))
                if file == told:
                    return list(content["results"])
                if content["checkpoint_sha256"] == digest:
                    found.append({name: content[name] for name in _RESULTS if name in content})
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise SketchClipError(f"{file} is damaged ({error!r}). Test again.") from error
        return found


def weights_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that name the weights: a method's own, or those of its encoder."""
    found: dict[str, Any] = settings.get("encoder", {}).get("init_args", settings)
    return found


def read_saved(checkpoint: Path) -> Saved:
    """Read a checkpoint (``.ckpt``, ``.safetensors``) and the config that belongs to it.

    Raises:
        SketchClipError: If the file is none of ours, or its config is no YAML.
    """
    content = read_checkpoint(checkpoint)
    config = config_of(checkpoint)
    settings = read_settings(config) if config else {}
    return Saved(checkpoint, content, settings)


def build_module(saved: Saved, pretrained: str | None = None) -> RetrievalModule:
    """Build the trained module, in eval mode on the CPU; no dataset is read.

    ``pretrained`` names the backbone's weights where they are not found as they were in training.

    Raises:
        SketchClipError: If a class cannot be imported, the backbone is another one, or tensors do
            not fit.
    """
    settings = saved.settings
    named = weights_settings(settings)
    if pretrained is not None and "pretrained" in named:
        named["pretrained"] = pretrained
    module = _instantiate(saved, settings)
    try:
        module.on_load_checkpoint(saved.content)
    except SketchClipError as error:
        raise SketchClipError(f"{saved.checkpoint}: {error}") from error
    if (size := saved.preprocessing.size) != module.image_size:
        raise SketchClipError(
            f"{saved.checkpoint} prepares images of {size} pixels, and its settings make a model "
            f"for {module.image_size}. The file is damaged: train or export again."
        )
    module.load_state_dict(saved.content["state_dict"], strict=False)
    return module.eval()


def _instantiate(saved: Saved, settings: Mapping[str, Any]) -> RetrievalModule:
    for path in (saved.method, *_class_paths(settings)):
        _check_importable(path, saved.checkpoint)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(RetrievalModule, "model")
    wanted = {"class_path": saved.method, "init_args": dict(settings)}
    try:
        # Renamed in jsonargparse 4.49.
        instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
        module = instantiate(parser.parse_object({"model": wanted})).model
    except (ArgumentError, ValueError) as error:
        if cause := own_cause(error):
            raise cause from None
        raise SketchClipError(
            f"{saved.checkpoint}: {saved.method} does not take the settings that it was trained "
            f"with ({error}). Use the version of its code that trained it."
        ) from error
    assert isinstance(module, RetrievalModule)  # by the parser
    return module


def _class_paths(settings: Mapping[str, Any]) -> Iterator[str]:
    for value in settings.values():
        if isinstance(value, Mapping):
            if "class_path" in value:
                yield str(value["class_path"])
            yield from _class_paths(value)


def _check_importable(path: str, checkpoint: Path) -> None:
    module, _, name = path.rpartition(".")
    try:
        getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SketchClipError(
            f"{checkpoint} was trained with {path}, which cannot be imported ({error}). Install "
            "the package that holds it, or put its folder on PYTHONPATH."
        ) from error
