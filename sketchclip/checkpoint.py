"""Checkpoints: all that is not frozen and pretrained, deflated."""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typing_extensions import override

from sketchclip.errors import SketchClipError, first_line

Network = TypeVar("Network", bound=nn.Module)

_MARK = "_adapted_of_pretrained"
_ENTRY = "sketchclip"
_KEPT = (
    *("hyper_parameters", "backbone", "preprocessing", "training_classes", "training_data"),
    "pytorch-lightning_version",
)


class CompactCheckpointIO(TorchCheckpointIO):
    """Deflates checkpoints: ``torch.load`` reads such files, ``torch.save`` just never writes them.

    A run of the paper's method on ViT-B/32 has 84,480 trained parameters; with Adam's two moments
    they are 1.01 MB of fp32, stored, and less than 1 MB deflated.
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint atomically; ``storage_options`` are not supported."""
        if storage_options is not None:
            raise TypeError("CompactCheckpointIO takes no storage_options.")
        stored = io.BytesIO()
        torch.save(checkpoint, stored)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        try:
            with (
                zipfile.ZipFile(stored) as source,
                zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as deflated,
            ):
                for name in source.namelist():
                    deflated.writestr(name, source.read(name))
            partial.replace(target)
        finally:  # interrupted, or the disk is full: the checkpoint before stays as it is
            partial.unlink(missing_ok=True)

    @override
    def load_checkpoint(
        self,
        path: _PATH,
        map_location: Callable | None = lambda storage, loc: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint, or the tensors alone from safetensors; nothing in it is executed."""
        if str(path).endswith(".safetensors"):
            return read_safetensors(Path(path))
        return super().load_checkpoint(path, map_location, weights_only=True)


def mark_pretrained(network: Network, adapted: Collection[str] = ()) -> Network:
    """Freeze a pretrained network and say so: the one mark that checkpoints go by.

    What it holds comes from its own file, so checkpoints leave it out, and a method keeps it in
    evaluation mode.

    Args:
        network: CLIP, an encoder with downloaded weights, a teacher; not a network that is trained
            from there as a whole, nor a frozen one with random weights.
        adapted: Names of parameters inside that train, such as LayerNorms.

    Returns:
        The network itself.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in adapted)
    setattr(network, _MARK, frozenset(adapted))
    return network.eval()


def pretrained_networks(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and networks inside a module that :func:`mark_pretrained` has marked."""
    parts = module.named_modules(remove_duplicate=False)  # both sides may have the same tower
    return ((name, part) for name, part in parts if hasattr(part, _MARK))


def own_names(module: nn.Module) -> list[str]:
    """Names of the tensors that a checkpoint holds: all that does not come from elsewhere.

    Trained parameters, frozen random ones and persistent buffers (statistics of BatchNorm, moving
    averages) count; frozen tensors of pretrained networks do not.

    Args:
        module: The LightningModule.

    Returns:
        Names in the state dict, each shared tensor once.
    """
    frozen: set[str] = set()
    for prefix, network in pretrained_networks(module):
        adapted = getattr(network, _MARK)
        frozen |= {
            f"{prefix}.{name}"
            for name, value in network.state_dict(keep_vars=True).items()
            if name not in adapted and not getattr(value, "requires_grad", False)
        }
    names: dict[int, str] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if name not in frozen:
            names.setdefault(id(value), name)
    return list(names.values())


def check_state(
    module: nn.Module, state: Mapping[str, Any], passed_over: Sequence[str] = ()
) -> None:
    """Compare a checkpoint's tensors with those of a module; loading itself is not strict.

    Args:
        module: The LightningModule.
        state: The checkpoint's state dict.
        passed_over: Prefixes of names that need not be in the module.

    Raises:
        SketchClipError: If a tensor is missing, unexpected, of another shape, or holds numbers that
            are not finite.
    """
    whole = module.state_dict()
    expected = {name: _shape(whole[name]) for name in own_names(module)}
    found = {
        name: _shape(value)
        for name, value in state.items()
        if name in expected or not name.startswith(tuple(passed_over))
    }
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": [
            f"{name} {found[name]} != {expected[name]}"
            for name in sorted(expected.keys() & found.keys())
            if found[name] != expected[name]
        ],
    }
    told = [f"{len(v)} {k}: {', '.join(v[:4])}" for k, v in problems.items() if v]
    if told:
        raise SketchClipError(
            f"Checkpoint does not fit {type(module).__name__} as configured ({'; '.join(told)}). "
            "Use the settings it was trained with, those of config.yaml in its run, and the same "
            "version of the method's code."
        )
    diverged = [n for n in sorted(found) if not torch.as_tensor(state[n]).isfinite().all()]
    if diverged:
        raise SketchClipError(
            f"{len(diverged)} of the checkpoint's {len(found)} tensors hold NaN or "
            f"infinity, first {diverged[0]}: its embeddings are NaN. The training diverged, or the "
            "file is damaged. Use another checkpoint, such as best.ckpt, or train again with lower "
            "rates."
        )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def trainable_names(module: nn.Module) -> list[str]:
    """Names of the trainable parameters, each tensor once."""
    return [name for name, p in module.named_parameters() if p.requires_grad]


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Number of trainable and of all parameters, each tensor once.

    >>> count_parameters(nn.Linear(2, 3))
    (9, 9)
    """
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(n for n, on in counts if on), sum(n for n, _ in counts)


def write_safetensors(content: Mapping[str, Any], target: Path) -> None:
    """Write the tensors of a checkpoint for publishing, without the optimizer's state.

    Args:
        content: Content of a checkpoint of ``sketchclip fit``.
        target: ``model.safetensors``; publish it with the run's config.yaml beside it.
    """
    about = {key: content[key] for key in _KEPT if key in content}
    tensors = {name: tensor.contiguous() for name, tensor in content["state_dict"].items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(tensors, target, {_ENTRY: json.dumps(about)})


def save_tensors(tensors: dict[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file that follows the umask, as every other file does.

    Args:
        tensors: Contiguous tensors by name.
        target: The file; one that is there keeps its mode.
        metadata: Text by key.
    """
    target.touch()
    mode = stat.S_IMODE(target.stat().st_mode)
    save_file(tensors, target, metadata)  # from safetensors 0.8 on for its owner's eyes alone
    target.chmod(mode)


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a file of :func:`write_safetensors` as a checkpoint that Lightning can test.

    Raises:
        ValueError: If the file is none of ours.
    """
    with safe_open(str(path), "pt") as file:
        described = (file.metadata() or {}).get(_ENTRY)
        if described is None:
            raise ValueError(f"its metadata has no entry '{_ENTRY}'")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {**json.loads(described), "state_dict": tensors}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read tensors from safetensors, a plain state dict or OpenAI's TorchScript archive.

    Nothing here unpickles arbitrary objects: TorchScript archives have a loader of their own.

    Raises:
        SketchClipError: If the file is none of the three.
    """
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
            except RuntimeError as error:
                if "TorchScript" not in str(error):
                    raise
                archive = torch.jit.load(os.fspath(path), map_location="cpu")
                state = dict(archive.state_dict())
        state = state.get("state_dict", state)
        tensors = {key.removeprefix("module."): value for key, value in state.items()}
    except Exception as error:
        raise SketchClipError(
            f"Cannot read weights from {path}: expected safetensors, a state dict or OpenAI's "
            f"TorchScript archive ({type(error).__name__}: {first_line(error)})."
        ) from error
    return tensors
