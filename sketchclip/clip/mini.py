"""The mini CLIP: a small ``open_clip.CLIP`` for demos and tests, shipped inside the package.

Its vision tower has the 7 x 7 tokens of ViT-B/32 and every name that prompts, LayerNorms and
checkpoints refer to, so the code that adapts it is the code that adapts OpenAI's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import open_clip
import torch
from open_clip import CLIP
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors import safe_open
from torch import Tensor, nn

from sketchclip.checkpoint import save_tensors

_ASSETS = Path(str(files("sketchclip"))) / "assets"

MINI_NAME = "sketchclip-mini"
"""Name under which open_clip knows the architecture."""
MINI_WEIGHTS = _ASSETS / "mini_clip.safetensors"
"""The pre-trained weights inside the package."""

_STEM_WIDTHS = (32, 64, 96)
_EMBEDDING = "token_embedding.weight"
_TOKEN_IDS = "token_ids"

open_clip.add_model_config(_ASSETS / f"{MINI_NAME}.json")


class ConvStem(nn.Sequential):
    """Convolutions in place of CLIP's patch embedding: (B, 3, 56, 56) to (B, width, 7, 7).

    A plain patchify layer learns nothing from the few images that a small model can be trained
    on; three strided convolutions do. The output has the shape that ``visual.conv1`` gives.
    """

    def __init__(self, width: int) -> None:
        """Stack three strided convolutions and one in between, each with BatchNorm."""
        channels = (3, *_STEM_WIDTHS, width)
        layers: list[nn.Module] = []
        for i, stride in enumerate((2, 2, 1, 2)):
            layers += [
                nn.Conv2d(channels[i], channels[i + 1], 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels[i + 1]),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers[:-1])  # no ReLU at the end: tokens may be negative


def create_mini(weights: Path | None = MINI_WEIGHTS) -> CLIP:
    """Build the mini CLIP in eval mode, all parameters in float32.

    Args:
        weights: File written by :func:`save_mini`; None leaves the weights random.
    """
    model = CLIP(**open_clip.get_model_config(MINI_NAME))
    model.visual.conv1 = ConvStem(model.visual.conv1.out_channels)
    open_clip.model.set_model_preprocess_cfg(
        model,
        {
            "size": model.visual.image_size,
            "mean": OPENAI_DATASET_MEAN,
            "std": OPENAI_DATASET_STD,
            "interpolation": "bicubic",
        },
    )
    if weights is not None:
        model.load_state_dict(_read(Path(weights), model.token_embedding.weight))
    return model.eval()


def save_mini(model: CLIP, path: Path, token_ids: Sequence[int]) -> None:
    """Write the weights of a mini CLIP in half precision, with the words that it knows."""
    ids = torch.tensor(sorted(set(token_ids)), dtype=torch.int32)
    state: dict[str, Tensor] = {_TOKEN_IDS: ids}
    for name, value in model.state_dict().items():
        kept = value[ids.long()] if name == _EMBEDDING else value
        state[name] = (kept.half() if kept.is_floating_point() else kept).contiguous()
    save_tensors(state, path, {"format": "pt", "model": MINI_NAME})


def _read(path: Path, embedding: Tensor) -> dict[str, Tensor]:
    """Read a state dict in float32, with the cropped token embedding at its full size."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no weights of the mini CLIP here; reinstall sketchclip or train them with "
            "tools/mini_clip/pretrain.py"
        )
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    full = torch.zeros_like(embedding)
    full[state.pop(_TOKEN_IDS).long()] = state[_EMBEDDING]
    return state | {_EMBEDDING: full}
