"""Both towers as ONNX files with prompts and normalisation inside, and with 8-bit weights."""

import contextlib
import gc
import io
import json
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from data_modules.batch import SIDES
from sketchclip.errors import SketchClipError, first_line
from sketchclip.metrics.vectors import as_vectors
from sketchclip.pretrained.card import CARD, onnx_section
from sketchclip.pretrained.model import SearchModel

VERIFICATION = "verification.json"
_GRAPH: dict[str, Any] = {
    "opset_version": 18,  # what PyTorch's exporters write without converting
    "input_names": ["images"],
    "output_names": ["embeddings"],
}
# The first version with the newer exporter as default; that of 2.6 fails on attention.
_DYNAMO = TorchVersion("2.9")
_STATES = {"sketch": "query_state", "photo": "gallery_state"}
# Images at a time, for the tracer to reason about. The file has no limits; for a single one
# the tracer of PyTorch 2.9 would take another path.
_LARGEST = 65_536
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
    """One side of a method, from the pixels of fitted images to vectors that search compares.

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
        channels = (model.preprocessing.mean, model.preprocessing.std)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in channels)
        self.register_buffer("shift", 255 * mean)
        self.register_buffer("scale", 255 * std)

    def forward(self, images: Tensor) -> Tensor:
        """Embed uint8 RGB (B, size, size, 3) as fp32 (B, D)."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.shift) / self.scale
        state = getattr(self.module, self.state)(pixels)
        return as_vectors(self.module.vector(state), self.module.similarity)


def write_onnx(model: SearchModel, folder: Path, int8: bool, queries: int) -> dict[str, Any]:
    """Write sketch.onnx and photo.onnx, with ``int8`` also 8-bit ones, and compare with PyTorch.

    Returns:
        Content of verification.json, which is written beside them.

    Raises:
        SketchClipError: If the method has no ONNX form, or the files embed in another way.
    """
    from sketchclip.pretrained.onnx_check import check, verify

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
    with (folder / CARD).open("a", encoding="utf-8") as card:
        card.write("\n" + onnx_section(told, model.preprocessing.size))
    return told


def export_tower(model: SearchModel, side: str, path: Path) -> None:
    """Write the tower of a side; weights of 1.8 GB and more go into ``.onnx.data`` beside it.

    Raises:
        SketchClipError: If an operation has no ONNX form.
    """
    tower = Tower(model, side).eval()
    size = model.preprocessing.size
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    weights = sum(p.numel() * p.element_size() for p in tower.parameters())
    try:
        with _silence(), _plain_attention(), torch.no_grad():
            if TorchVersion(torch.__version__) < _DYNAMO:
                _export_by_script(tower, images, path)
            else:
                _export_by_dynamo(tower, images, path, weights > _ONE_FILE)
    except Exception as error:  # of exporter, tracer or runtime, each with classes of its own
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter's own advice is for its developers
            cause = cause.__cause__
        raise SketchClipError(
            f"{model.name}: the {side} tower has no ONNX form ({type(cause).__name__}: "
            f"{first_line(cause)}). What {_STATES[side]}() of {type(model.module).__name__} "
            "computes must be traceable by torch.export for any number of images. Export it "
            "without --onnx."
        ) from error
    finally:
        # The tracer derives classes of the same names, which a config's bare name would also mean.
        gc.collect()


def _export_by_dynamo(tower: Tower, images: Tensor, path: Path, beside: bool) -> None:
    batch = torch.export.Dim("batch", min=2, max=_LARGEST)
    program = torch.onnx.export(
        tower, (images,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False, **_GRAPH
    )
    assert program is not None  # with dynamo
    _forget_origins(program.model)
    program.save(path, external_data=beside)


def _export_by_script(tower: Tower, images: Tensor, path: Path) -> None:
    axes = {name: {0: "batch"} for name in (*_GRAPH["input_names"], *_GRAPH["output_names"])}
    torch.onnx.export(tower, (images,), path, dynamo=False, dynamic_axes=axes, **_GRAPH)


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention from operations that ONNX has, in place of PyTorch's fused one for inference."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


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
