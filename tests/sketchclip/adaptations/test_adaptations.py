"""Adaptations: what they train, and how methods hold them."""

import itertools

import open_clip
import pytest
import torch
from torch import nn

from data_modules.batch import TrainingBatch
from sketchclip.adaptations import (
    CommonPrompts,
    ConditionedPrompts,
    CoupledPrompts,
    DeepPrompts,
    FullFineTuning,
    IndependentPrompts,
    LinearHead,
)
from sketchclip.checkpoint import count_parameters, trainable_names
from sketchclip.clip.towers import fork_visual
from sketchclip.errors import SketchClipError
from sketchclip.methods import FineGrainedPromptLearning, ZeroShotPromptLearning

K, W, LAYERS, D = 3, 768, 12, 512  # of ViT-B/32 and the paper
NORMS = 2 * W * (2 * LAYERS + 2)
METHODS = {"zs": ZeroShotPromptLearning, "fg": FineGrainedPromptLearning}
# Class, settings of the method, parameters on ViT-B/32.
BASELINES = {
    "IP": (IndependentPrompts, {}, 2 * K * W, 4_608),
    "common": (CommonPrompts, {}, K * W, 2_304),
    "Deep": (DeepPrompts, {}, 2 * 9 * K * W, 41_472),
    "MM": (CoupledPrompts, {}, K * W + W * W + W, 592_896),
    "Cond": (ConditionedPrompts, {}, K * W + (D + 1) * 32 + (32 + 1) * W, 44_064),
    "Lin": (LinearHead, {}, D * D + D, 262_656),
    "Lin, two": (LinearHead, {"shared": False}, 2 * (D * D + D), 525_312),
}
SMALL_ADAPTATIONS = {
    "IndependentPrompts": lambda: IndependentPrompts(2),
    "CommonPrompts": lambda: CommonPrompts(2),
    "DeepPrompts": lambda: DeepPrompts(2, depth=2),
    "CoupledPrompts": lambda: CoupledPrompts(2),
    "ConditionedPrompts": lambda: ConditionedPrompts(2, hidden=5, std=0.5),
    "LinearHead": LinearHead,
    "LinearHead, two": lambda: LinearHead(shared=False),
    "FullFineTuning": FullFineTuning,
    "FullFineTuning, two": lambda: FullFineTuning(shared=False),
}
ADAPTATION_NAMES = {
    "IndependentPrompts": {"sketch", "photo"},
    "CommonPrompts": {"common"},
    "DeepPrompts": {"sketch", "photo"},
    "CoupledPrompts": {"sketch", "to_photo.weight", "to_photo.bias"},
    "ConditionedPrompts": {
        *("common", "net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"),
    },
    "LinearHead": {"sketch.weight", "sketch.bias"},
    "LinearHead, two": {"sketch.weight", "sketch.bias", "photo.weight", "photo.bias"},
    "FullFineTuning": set(),
    "FullFineTuning, two": set(),
}


@pytest.fixture
def make(tiny_weights):
    """A method on the tiny CLIP."""

    def call(kind: str = "zs", **settings):
        defaults = {"class_names": ["cat", "dog"], "backbone": "tiny"}
        return METHODS[kind](**{**defaults, "pretrained": str(tiny_weights), **settings})

    return call


@pytest.fixture
def on_vit(vit_b32, monkeypatch):
    def call(kind: str, **settings):
        monkeypatch.setattr("sketchclip.clip.encoder.load_backbone", lambda *_: vit_b32)
        return METHODS[kind](class_names=["cat", "dog"], **settings)

    return call


def on_meta(name: str) -> nn.Module:
    """The visual tower of an architecture, without memory."""
    with torch.device("meta"):
        return open_clip.CLIP(**open_clip.get_model_config(name)).visual.requires_grad_(False)


def norm_names(layers: int) -> set[str]:
    norms = ["ln_pre", "ln_post"]
    norms += [f"transformer.resblocks.{i}.{ln}" for i in range(layers) for ln in ("ln_1", "ln_2")]
    return {f"visual.{n}.{p}" for n in norms for p in ("weight", "bias")}


def trained(method: nn.Module) -> set[str]:
    names = trainable_names(method)
    assert len(set(names)) == len(names)
    return set(names)


def test_the_papers_two_models_on_vit_b32(on_vit):
    zero_shot, fine_grained = on_vit("zs"), on_vit("fg")
    assert count_parameters(zero_shot)[0] == 2 * (K * W + NORMS) == 84_480
    assert count_parameters(fine_grained)[0] == K * W + NORMS == 42_240
    norms = norm_names(LAYERS)
    sides = {f"{side}_tower.{n}" for side in ("sketch", "photo") for n in norms}
    assert trained(zero_shot) == {"adaptation.sketch", "adaptation.photo", *sides}
    assert trained(fine_grained) == {"adaptation.common", *(f"sketch_tower.{n}" for n in norms)}
    assert fine_grained.sketch_tower.visual is fine_grained.photo_tower.visual


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_on_vit_b32(on_vit, name):
    kind, options, expected, pinned = BASELINES[name]
    method = on_vit("zs", adaptation=kind(**options), layer_norm="none", lambda_cls=0)
    assert count_parameters(method)[0] == expected == pinned
    assert all(n.startswith("adaptation.") for n in trained(method))


def test_full_fine_tuning_trains_the_image_encoder():
    visual = on_meta("ViT-B-32-quickgelu")
    branch = fork_visual(visual, "none", "everything")
    assert all(p.requires_grad for p in branch.parameters())
    assert not any(p.requires_grad for p in visual.parameters())
    mlp, attention = (W * 4 * W + 4 * W) + (4 * W * W + W), 4 * (W * W + W)
    outside = 3 * 32 * 32 * W + W + 50 * W + W * D
    expected = LAYERS * (mlp + attention) + outside + NORMS
    assert count_parameters(branch)[0] == expected == 87_849_216


@pytest.mark.parametrize("name", SMALL_ADAPTATIONS)
@pytest.mark.parametrize("kind", METHODS)
def test_exact_names(make, kind, name):
    method = make(kind, adaptation=SMALL_ADAPTATIONS[name](), layer_norm="none")
    own = {f"adaptation.{n}" for n in ADAPTATION_NAMES[name]}
    visual = {n for n, _ in method.clip.named_parameters() if n.startswith("visual.")}
    sides = {"FullFineTuning": ("sketch",), "FullFineTuning, two": ("sketch", "photo")}
    assert trained(method) == own | {f"{s}_tower.{n}" for s in sides.get(name, ()) for n in visual}
    one_encoder = method.sketch_tower.visual is method.photo_tower.visual
    assert one_encoder == (name == "FullFineTuning")


MODES = [
    (kind, name, mode)
    for kind, name in itertools.product(METHODS, SMALL_ADAPTATIONS)
    # With all weights trained, the mode changes nothing.
    for mode in (["none"] if name.startswith("Full") else ["none", "per_branch", "shared"])
]


def step(method, size: int = 32) -> torch.Tensor:
    """One training step with two classes of two, and its backward pass."""
    method.text_head.prepare(method.clip, method.backbone, method.hparams.class_names)
    method.log = method.log_dict = lambda *_, **__: None
    method.train()
    torch.manual_seed(3)
    images = torch.randn(3, 4, 3, size, size)
    batch = TrainingBatch(*images, torch.tensor([0, 0, 1, 1]), torch.arange(4))
    loss = method.training_step(batch, 0)
    loss.backward()
    return loss


@pytest.mark.parametrize(("kind", "name", "mode"), MODES)
def test_what_trains_gets_a_gradient_and_nothing_else(make, kind, name, mode):
    # A margin that no triplet meets, so that the hinge hides nothing.
    method = make(kind, adaptation=SMALL_ADAPTATIONS[name](), layer_norm=mode, margin=2.5)
    step(method)
    for parameter_name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.any(), parameter_name
        else:
            assert parameter.grad is None, parameter_name


@pytest.mark.parametrize(
    ("arch", "width", "embedding"), [("ViT-B-16", 768, 512), ("ViT-L-14", 1024, 768)]
)
def test_widths_of_larger_backbones(arch, width, embedding):
    visual = on_meta(arch)
    shapes = {
        "IP": {"sketch": (K, width), "photo": (K, width)},
        "common": {"common": (K, width)},
        "Deep": {"sketch": (9, K, width), "photo": (9, K, width)},
        "MM": {"sketch": (K, width), "to_photo.weight": (width, width), "to_photo.bias": (width,)},
        "Lin": {"sketch.weight": (embedding, embedding), "sketch.bias": (embedding,)},
        "Cond": {
            **{"common": (K, width), "net.0.weight": (32, embedding), "net.0.bias": (32,)},
            **{"net.2.weight": (width, 32), "net.2.bias": (width,)},
        },
    }
    for name, expected in shapes.items():
        adaptation = BASELINES[name][0]()
        adaptation.build(visual)
        found = {n: tuple(p.shape) for n, p in adaptation.named_parameters()}
        assert found == expected, name


@pytest.mark.parametrize("depth", [0, 3, 9])
def test_a_depth_that_the_backbone_has_not_is_refused(make, depth):
    with pytest.raises(
        SketchClipError,
        match=rf"depth.*(at least 1|from 1 to 2).*{depth}|depth={depth}.*from 1 to 2",
    ):
        make(adaptation=DeepPrompts(2, depth=depth))


def test_both_branches_of_one_encoder_with_common_prompts_are_equal(make):
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for settings, same in (
            ({"adaptation": CommonPrompts(2, std=1.0), "layer_norm": "shared"}, True),
            ({"adaptation": IndependentPrompts(2, std=1.0), "layer_norm": "shared"}, False),
            ({"adaptation": CommonPrompts(2, std=1.0), "layer_norm": "per_branch"}, False),
        ):
            method = make("fg", **settings)
            for parameter in method.photo_tower.visual.ln_post.parameters():
                parameter += 1.0  # training has moved it
            branches = [method.embed(images, side) for side in ("sketch", "photo")]
            assert torch.equal(*branches) == same


@pytest.mark.parametrize(
    "name", ["IndependentPrompts", "DeepPrompts", "ConditionedPrompts", "FullFineTuning"]
)
def test_gradient_checkpointing_changes_no_gradient(make, name):
    gradients = []
    for on in (False, True):
        torch.manual_seed(1)
        method = make(adaptation=SMALL_ADAPTATIONS[name](), grad_checkpointing=on)
        step(method)
        gradients.append({n: p.grad for n, p in method.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for parameter, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][parameter])


# How methods hold them.


@pytest.mark.parametrize("kind", METHODS)
def test_a_default_is_an_instance_of_its_own(make, kind):
    first, second = make(kind), make(kind)
    for name in ("adaptation", "text_head"):
        a, b = getattr(first, name), getattr(second, name)
        assert type(a) is type(b)
        assert a is not b
        # The class itself, not the stand-in that a lazy default is.
        assert type(a).__module__.startswith("sketchclip.")
    own = {p.data_ptr() for p in first.parameters() if p.requires_grad}
    assert own.isdisjoint(p.data_ptr() for p in second.parameters())


@pytest.mark.parametrize("kind", METHODS)
def test_a_checkpoint_restores_the_adaptation(make, kind, tmp_path):
    """Of a method built in Python: plain hyper-parameters, which say what to build."""
    method = make(kind, adaptation=DeepPrompts(1, depth=2, std=0.5), margin=0.7)
    hyper_parameters = dict(method.hparams)
    assert hyper_parameters["adaptation"] == {
        "class_path": "sketchclip.adaptations.deep.DeepPrompts",
        "init_args": {"n_prompts": 1, "depth": 2, "std": 0.5},
    }
    checkpoint = {
        "state_dict": method.state_dict(),
        "hyper_parameters": hyper_parameters,
        "pytorch-lightning_version": "2.5.0",
    }
    method.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=True)  # raises on anything but plain types
    restored = METHODS[kind].load_from_checkpoint(tmp_path / "a.ckpt")
    assert type(restored.adaptation) is DeepPrompts
    assert (restored.adaptation.n_prompts, restored.adaptation.std) == (1, 0.5)
    assert restored.hparams.margin == 0.7
    for name in trainable_names(method):
        assert torch.equal(restored.get_parameter(name), method.get_parameter(name)), name
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for side in ("sketch", "photo"):
            assert torch.equal(restored.embed(images, side), method.embed(images, side))
