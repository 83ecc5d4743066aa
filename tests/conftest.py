"""Shared fixtures: a tiny CLIP, generated sketches and photos, the command line in process."""

import colorsys
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from sketchclip.cli import main
from sketchclip.methods import ZeroShotPromptLearning

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
# Each differs from "tiny" in one thing that a test is about.
VARIANTS: dict[str, dict[str, Any]] = {
    "tiny": TINY,
    "tiny-quickgelu": {**TINY, "quick_gelu": True},
    "tiny-avg": {**TINY, "vision_cfg": {**TINY["vision_cfg"], "pool_type": "avg"}},
    "tiny-12": {**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": 12}},
    "tiny-deep": {**TINY, "vision_cfg": {**TINY["vision_cfg"], "layers": 3}},
}
COLOURS = "red orange yellow lime green teal cyan azure blue violet magenta pink".split()
SHAPES = ("ellipse", "rectangle", "triangle")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Threads that wait for each other make tiny matrices many times slower on a busy machine.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def tiny_configs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Register the tiny architectures with open_clip."""
    folder = tmp_path_factory.mktemp("configs")
    for name, config in VARIANTS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


@pytest.fixture(autouse=True, scope="session")
def _benchmark_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Unpack the embedded benchmarks once, and not into the user's cache."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all workers of this run share it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKETCHCLIP_CACHE", str(folder / "benchmarks"))
        yield


@pytest.fixture(autouse=True)
def _keep_global_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """``seed_everything`` leaves a variable behind that would change what the next test draws."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    torch.manual_seed(0)


def random_clip(name: str, seed: int = 0) -> nn.Module:
    """A CLIP with weights that depend on the seed alone."""
    torch.manual_seed(seed)
    model = open_clip.create_model(name, pretrained=None, pretrained_text=False).eval()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):  # fresh ones are ones and zeros, trained ones are not
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
    return model


def openai_state(clip: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict as OpenAI distributes it: fp16 and three numbers beside the weights."""
    state = {name: value.half() for name, value in clip.state_dict().items()}
    numbers = {"input_resolution": clip.visual.image_size[0], "context_length": clip.context_length}
    numbers["vocab_size"] = clip.vocab_size
    return state | {name: torch.tensor(value) for name, value in numbers.items()}


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., nn.Module]:
    return random_clip


@pytest.fixture(scope="session")
def vit_b32() -> nn.Module:
    """ViT-B/32 with random weights, frozen as the loader leaves it; built once, it is slow."""
    return random_clip("ViT-B-32-quickgelu").requires_grad_(False)


@pytest.fixture(scope="session")
def openai_file() -> Callable[[nn.Module], dict[str, torch.Tensor]]:
    return openai_state


@pytest.fixture(scope="session")
def vit_weights(vit_b32: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT-B/32 in OpenAI's format."""
    path = tmp_path_factory.mktemp("openai") / "ViT-B-32.pt"
    torch.save(openai_state(vit_b32), path)
    return path


@pytest.fixture(scope="session")
def vit_fit(vit_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a run that trained the paper's model on ViT-B/32 for two real steps."""
    folder = tmp_path_factory.mktemp("vit")
    data = draw_tree(folder / "data", classes=4, sketches=2, photos=2)
    shared = [
        *("--model", "ZeroShotPromptLearning", "--model.pretrained", str(vit_weights)),
        *("--data", "SketchPhotoFolder", "--data.root", str(data), "--data.split", "random:2:0"),
        *("--data.validation", "none", "--data.num_workers", "0", "--data.batch_size", "2"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(folder)),
    ]
    cli = main(["fit", *shared, "--trainer.max_steps", "2"])
    assert cli.trainer.global_step == 2
    return [*shared, "--ckpt_path", f"{cli.trainer.log_dir}/checkpoints/last.ckpt"]


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict file for ``--model.backbone tiny --model.pretrained FILE``."""
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(random_clip("tiny").state_dict(), path)
    return path


def draw_tree(root: Path, classes: int = 8, sketches: int = 3, photos: int = 4) -> Path:
    """Write ``sketch/<class>/*`` outlines and ``photo/<class>/*`` filled shapes.

    A class is a colour and a shape; size, place and the photos' background vary.
    """
    rng = np.random.default_rng(0)
    for number in range(classes):
        colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
        rgb = tuple(int(255 * v) for v in colorsys.hsv_to_rgb(number / classes, 1.0, 0.8))
        for side, count in (("sketch", sketches), ("photo", photos)):
            folder = root / side / f"{colour} {shape}"
            folder.mkdir(parents=True)
            for index in range(count):
                # Not square, so that fitting into the square input is always at work.
                image = Image.new("RGB", (36, 32), "white")
                if side == "photo":
                    image.paste(tuple(int(v) for v in rng.integers(150, 256, 3)), (0, 0, 36, 32))
                x, y, radius = rng.integers(14, 23), rng.integers(13, 20), rng.integers(8, 12)
                box = (x - radius, y - radius, x + radius, y + radius)
                style = {"fill": rgb} if side == "photo" else {"outline": rgb, "width": 2}
                draw = ImageDraw.Draw(image)
                if shape == "triangle":
                    corners = [(x, box[1]), (box[2], box[3]), (box[0], box[3])]
                    draw.polygon([(int(a), int(b)) for a, b in corners], **style)
                else:
                    getattr(draw, shape)(tuple(int(v) for v in box), **style)
                image.save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def make_tree() -> Callable[..., Path]:
    return draw_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight classes; read only."""
    return draw_tree(tmp_path_factory.mktemp("data") / "tree")


@pytest.fixture
def options(tmp_path: Path, tiny_weights: Path) -> list[str]:
    """What every command of a test shares: the tiny CLIP, the CPU, a run folder in tmp_path."""
    return [
        *("--model.backbone", "tiny", "--model.pretrained", str(tiny_weights)),
        *("--data.num_workers", "0", "--data.batch_size", "8"),
        *("--trainer.accelerator", "cpu", "--trainer.devices", "1"),
        *("--trainer.logger", "csv", "--trainer.logger.save_dir", str(tmp_path / "runs")),
        *("--trainer.enable_progress_bar", "false", "--trainer.log_every_n_steps", "1"),
    ]


@pytest.fixture
def run(tree: Path, options: list[str]) -> Callable[..., Any]:
    """``run("fit", "--trainer.max_epochs", "2")``: the command line in process, on ``tree``."""

    def call(command: str, *args: str, method: str = "ZeroShotPromptLearning") -> Any:
        data = ["--data", "SketchPhotoFolder", "--data.root", str(tree), "--data.split"]
        return main([command, "--model", method, *data, "random:2:0", *options, *map(str, args)])

    return call


@pytest.fixture
def make_method(tiny_weights: Path) -> Callable[..., ZeroShotPromptLearning]:
    """The paper's method on the tiny CLIP, outside the command line."""

    def make(**settings: Any) -> ZeroShotPromptLearning:
        defaults = {"class_names": ["cat", "dog", "tree"], "backbone": "tiny"}
        method = ZeroShotPromptLearning(
            **{**defaults, "pretrained": str(tiny_weights), **settings}  # type: ignore[arg-type]
        )
        method.build_training_parts()  # as a fit does
        return method

    return make
