"""Export a model: a folder with its trained tensors, settings, figures and card."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from data_modules.locks import locked
from sketchclip import __version__
from sketchclip.checkpoint import write_safetensors
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.card import CARD, model_card
from sketchclip.pretrained.find import find_checkpoint, hub_id
from sketchclip.pretrained.hub import check_hub, upload
from sketchclip.pretrained.model import FROZEN, SearchModel, load_model
from sketchclip.pretrained.publishable import publishable, publishable_config
from sketchclip.pretrained.saved import Saved, read_saved
from sketchclip.runs.folder import ABOUT, CONFIG, EXPORTED


def read_export(
    model: str, backbone: str | None = None, pretrained: str | None = None
) -> tuple[SearchModel, Saved]:
    """Load the model to export on the CPU, and read its tensors and settings if it has any."""
    loaded = load_model(model, backbone, pretrained, device="cpu")
    if model != FROZEN:
        return loaded, read_saved(Path(find_checkpoint(model, option="model")))
    module: Any = loaded.module
    content = {
        "state_dict": {},
        "hyper_parameters": {"_class_path": "sketchclip.methods.FrozenCLIP", **loaded.settings},
        "backbone": module.identity,
        "preprocessing": asdict(loaded.preprocessing),
        "training_classes": [],
    }
    return loaded, Saved(Path(FROZEN), content, {})


def write_export(
    model: SearchModel, saved: Saved, folder: Path, name: str, license_id: str
) -> dict[str, Any]:
    """Write weights, settings and card into an empty folder, and load them again.

    Returns:
        Content of config.json.

    Raises:
        SketchClipError: If what was written does not load as the same model.
    """
    state = saved.content["state_dict"]
    left_out = model.module.training_only
    state = {name: value for name, value in state.items() if not name.startswith(left_out)}
    content = {**saved.content, "state_dict": state}
    for key in ("hyper_parameters", "backbone", "training_data"):
        if key in content:
            content[key] = publishable(content[key])
    write_safetensors(content, folder / EXPORTED)
    config = publishable_config(saved.config)
    if "model" not in config:
        config["model"] = {"class_path": saved.method, "init_args": publishable(saved.settings)}
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    told = publishable(model.about)
    about = {
        "library_name": "sketchclip",
        "sketchclip": __version__,
        **told,
        "name": f"{told['method']}, {name}",
        "model_hash": model.model_hash,
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    trained = sum(tensor.numel() for tensor in state.values())
    model_card(about, name, trained, license_id).save(folder / CARD)
    again = load_model(str(folder), pretrained=saved.pretrained, device="cpu")
    if again.model_hash != model.model_hash:
        raise SketchClipError(
            f"{model.name}: what was exported embeds in another way than the model itself. The "
            "method keeps a setting out of save_hyperparameters, or reads a file that changed."
        )
    return about


@contextmanager
def destination(target: str, private: bool) -> Iterator[tuple[Path, str]]:
    """Yield a folder that becomes the target once all is written, and the name to load it by.

    The target is a new or empty folder, or ``hf://owner/name``.

    Raises:
        SketchClipError: If the target holds files, or the hub refuses.
    """
    if target.startswith("hf://"):
        repository = hub_id(target)
        if repository is None:
            raise SketchClipError(f"--to {target}: expected hf://owner/name.")
        check_hub(repository)
        with TemporaryDirectory() as building:
            yield Path(building), repository
            print(f"Uploaded: {upload(Path(building), repository, private)}")
        return
    path = Path(target).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SketchClipError(f"--to {target} exists already. Name a new folder, or remove it.")
    try:
        # One name for all: what a killed export has left is known, and goes.
        partial = path.parent / f".{path.name}.partial"
        left = partial.exists()
        with locked(partial / "lock", f"Another export is writing {path}"):
            folder = partial / path.name
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                yield folder, path.name
                folder.replace(path)  # also over an empty folder
            finally:
                shutil.rmtree(partial if left else folder, ignore_errors=True)
    except OSError as error:
        raise SketchClipError(f"Cannot write --to {target} ({error}).") from error
