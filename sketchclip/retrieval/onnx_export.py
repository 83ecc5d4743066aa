"""Both towers as ONNX files with prompts and normalisation inside, and with 8-bit weights."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sketchclip.errors import SketchClipError
from sketchclip.retrieval.model import SearchModel

SIDES = ("sketch", "photo")
VERIFICATION = "verification.json"
OPSET = 18
"""What PyTorch's exporter writes without converting, in all versions that have it."""
_STATES = {"sketch": "query_state", "photo": "gallery_state"}
# A protobuf file holds less than 2 GiB; larger weights lie beside it.
_ONE_FILE = 1_800_000_000
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def require_packages() -> None:
    """Say what to install before anything is computed.

    Raises:
        SketchClipError: If a package of the extra is missing.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SketchClipError(f"ONNX needs {', '.join(missing)}: pip install 'sketchclip[onnx]'.")


class Tower(nn.Module):
    """One side of a method, from the pixels of fitted images to unit vectors.

    Args:
        model: The model.
        side: sketch or photo.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, model: SearchModel, side: str) -> None:
        super().__init__()
        self.module = model.module
        self.state = _STATES[side]
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in model.normalization)
        self.register_buffer("shift", 255 * mean)
        self.register_buffer("scale", 255 * std)

    def forward(self, images: Tensor) -> Tensor:
        """Embed uint8 RGB (B, size, size, 3) as fp32 (B, D), unit length."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.shift) / self.scale
        return F.normalize(getattr(self.module, self.state)(pixels).float(), dim=-1)


def write_onnx(model: SearchModel, folder: Path, int8: bool, queries: int) -> dict[str, Any]:
    """Write sketch.onnx and photo.onnx, compare them with PyTorch, and write down how they compare.

    Args:
        model: On the CPU.
        folder: Takes the files and verification.json.
        int8: Also write sketch.int8.onnx and photo.int8.onnx.
        queries: Sketches a class of the embedded benchmark to compare with.

    Returns:
        Content of verification.json.

    Raises:
        SketchClipError: If the method has no ONNX form, or the files embed in another way than
            PyTorch.
    """
    from sketchclip.retrieval.onnx_check import check, verify

    forms = [""]
    for side in SIDES:
        export_tower(model, side, folder / f"{side}.onnx")
    if int8:
        forms.append(".int8")
        for side in SIDES:
            quantize(folder / f"{side}.onnx", folder / f"{side}.int8.onnx")
    told = verify(model, folder, forms, queries)
    (folder / VERIFICATION).write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    check(told, model.name)
    return told


def export_tower(model: SearchModel, side: str, path: Path) -> None:
    """Write one tower.

    Args:
        model: On the CPU.
        side: sketch or photo.
        path: ``.onnx`` file; weights of 1.8 GB and more go into ``.onnx.data`` beside it.

    Raises:
        SketchClipError: If an operation has no ONNX form.
    """
    tower = Tower(model, side).eval()
    size = model.fit.size
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    weights = sum(p.numel() * p.element_size() for p in tower.parameters())
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                tower,
                (images,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["images"],
                output_names=["embeddings"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            )
            assert program is not None  # with dynamo
            _forget_origins(program.model)
            program.save(path, external_data=weights > _ONE_FILE)
    except Exception as error:  # of exporter, tracer or runtime, each with classes of its own
        reason = (str(error).strip().splitlines() or ["no details"])[0]
        raise SketchClipError(
            f"{model.name}: the {side} tower has no ONNX form ({type(error).__name__}: {reason}). "
            f"What {_STATES[side]}() of {type(model.module).__name__} computes must be traceable "
            "by torch.export for any number of images. Export it without --onnx."
        ) from error


def _forget_origins(graph_model: Any) -> None:
    """Drop what the exporter notes about each node: stack traces with paths of this machine."""
    for graph in (graph_model.graph, *graph_model.functions.values()):
        for node in graph:
            node.metadata_props.clear()


def quantize(source: Path, target: Path) -> None:
    """Write a tower with 8-bit weights; activations are quantised as they come.

    Args:
        source: Of :func:`export_tower`.
        target: New file.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silence():
        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep progress of the exporter, and its advice to developers, off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
