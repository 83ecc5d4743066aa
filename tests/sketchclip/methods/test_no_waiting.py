"""Steps of training and evaluation never wait for a GPU: checked without one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from data_modules import transforms
from data_modules.batch import ImageBatch, TrainingBatch
from data_modules.transforms import normalize
from sketchclip import adaptations
from sketchclip.clip.text_heads import LearnedContext
from sketchclip.methods import FineGrainedPromptLearning, ZeroShotPromptLearning, fine_grained
from sketchclip.methods.capacity import Capacity
from tests.helpers.fake_gpu import GPU, fake_gpu, moved

PLACES = {"DeepPrompts": {"depth": 2}}
CATEGORY: dict[str, Callable[[], dict[str, Any]]] = {
    "paper": dict,
    "in the batch": lambda: {"negatives": "in_batch"},
    "capacity": lambda: {"capacity": Capacity(0.5, 0.5)},
    "learned context": lambda: {"text_head": LearnedContext()},
    "released": lambda: {"also_train": "official", "cls_temperature": "raw"},
    "recomputed": lambda: {"grad_checkpointing": True},
} | {
    name: lambda name=name: {"adaptation": getattr(adaptations, name)(**PLACES.get(name, {}))}
    for name in adaptations.__all__
    if name not in ("Adaptation", "IndependentPrompts")
}
FINE: dict[str, Callable[[], dict[str, Any]]] = {
    "paper": dict,
    "hard": lambda: {"negatives": "batch_hard", "delta_order": "sorted"},
    "batch": lambda: {"ps_scope": "batch", "ps_negative": "hard_negative"},
    "three": lambda: {"patches": 3, "lambda_cls": 0.0},
}
CASES = [(ZeroShotPromptLearning, CATEGORY[name]) for name in CATEGORY]
CASES += [(FineGrainedPromptLearning, FINE[name]) for name in FINE]


@pytest.fixture(autouse=True)
def _rows_are_not_kept():
    transforms._row.cache_clear()
    yield
    transforms._row.cache_clear()  # they are as fake as the GPU


def pixels(size: int) -> torch.Tensor:
    return torch.zeros(4, size, size, 3, dtype=torch.uint8, device=GPU).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("method", "settings"), CASES, ids=[*CATEGORY, *(f"FG {n}" for n in FINE)])
def test_no_step_waits(method, settings, tiny_weights, monkeypatch):
    # Drawn on the processor, again where two are equal; numbers that are fake are never equal.
    drawn = lambda batch, n, *_: torch.zeros(2, batch, n * n, dtype=torch.long)  # noqa: E731
    monkeypatch.setattr(fine_grained, "draw_permutations", drawn)
    module = method(["cat", "dog"], "tiny", pretrained=str(tiny_weights), **settings())
    module.build_training_parts()
    if module.text_head is not None:
        module.text_head.prepare(module.clip, "tiny", ["cat", "dog"])
    module.log = module.log_dict = lambda *_, **__: None
    steps = module.preprocessing
    with fake_gpu() as fake:
        moved(module, fake)
        optimizer = module.configure_optimizers()
        for _ in range(2):  # the second has states of the optimiser
            images = [normalize(pixels(steps.size), steps.mean, steps.std) for _ in range(3)]
            assert images[0].is_contiguous(memory_format=torch.channels_last)
            label = torch.zeros(4, dtype=torch.long, device=GPU)
            batch = TrainingBatch(*images, label, instance=label)
            assert module.training_step(batch, 0).is_cuda
            for group in optimizer.param_groups:  # autograd itself needs a true GPU
                for parameter in group["params"]:
                    parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
        for side in (0, 1):
            module.validation_step(ImageBatch(images[0], label, label, label), 0, side)
