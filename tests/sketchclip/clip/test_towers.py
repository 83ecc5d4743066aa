"""Prompted towers: what they rely on in open_clip, exactness, and what trains."""

import copy
import math

import pytest
import torch
from torch import nn

from data_modules.batch import TrainingBatch
from sketchclip.adaptations import Adaptation, IndependentPrompts
from sketchclip.checkpoint import count_parameters, trainable_names
from sketchclip.clip.backbone import load_backbone
from sketchclip.clip.mini import create_mini
from sketchclip.clip.towers import PromptedTower, check_visual, fork_visual
from sketchclip.errors import SketchClipError
from sketchclip.methods import ZeroShotPromptLearning

WIDTH, LAYERS, EMBED = 768, 12, 512  # of ViT-B/32
LAYER_NORMS = 2 * WIDTH * (2 * LAYERS + 2)  # weight and bias of ln_pre, ln_post, ln_1 and ln_2
PROMPTS = 3 * WIDTH


@pytest.fixture
def clip(request, make_clip, vit_b32):
    if request.param == "mini":
        torch.manual_seed(0)
        model = create_mini(None)
        for module in model.visual.conv1.modules():  # as after training, not identity
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        return model
    return vit_b32 if request.param == "ViT-B-32-quickgelu" else make_clip(request.param)


EVERY = pytest.mark.parametrize(
    "clip", ["tiny", "tiny-avg", "mini", "ViT-B-32-quickgelu"], indirect=True
)
SMALL = pytest.mark.parametrize("clip", ["tiny", "tiny-avg", "mini"], indirect=True)


def tower_of(clip: nn.Module, adaptation: Adaptation, layer_norm: str = "none") -> PromptedTower:
    """The photo tower of a method with this adaptation."""
    adaptation.build(clip.visual)
    return PromptedTower(fork_visual(clip.visual, layer_norm, "nothing"), adaptation, "photo")


def images(clip: nn.Module, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, *clip.visual.image_size)


@EVERY
def test_what_towers_rely_on_in_open_clip(clip):
    """``forward`` of open_clip is embeddings, transformer, pooling and projection, nothing else."""
    visual, x = clip.visual, images(clip)
    with torch.no_grad():
        tokens = visual._embeds(x)
        grid = math.prod(visual.grid_size)
        assert tokens.shape == (2, grid + 1, len(visual.class_embedding))
        pooled, _ = visual._pool(visual.transformer(tokens))
        assert torch.equal(pooled @ visual.proj, visual(x))
    assert isinstance(visual.ln_pre, nn.LayerNorm)
    assert visual.attn_pool is None


@EVERY
def test_without_prompts_a_frozen_tower_is_encode_image_exactly(clip):
    x = images(clip)
    for layer_norm in ("none", "per_branch"):  # untrained copies of LayerNorms change nothing
        for nothing in (Adaptation(), IndependentPrompts(n_prompts=0)):
            tower = tower_of(clip, nothing, layer_norm)
            with torch.no_grad():
                assert torch.equal(tower(x), clip.encode_image(x))


@SMALL
def test_prompts_are_appended_before_ln_pre(clip):
    """The same as giving open_clip's own forward longer tokens just before ``ln_pre``."""
    tower = tower_of(clip, IndependentPrompts(n_prompts=3, std=1.0))
    x = images(clip)
    reference = copy.deepcopy(clip.visual)
    patches = math.prod(reference.grid_size)

    def append(_: nn.Module, args: tuple[torch.Tensor]) -> torch.Tensor:
        return torch.cat([args[0], tower.adaptation.photo.expand(len(args[0]), -1, -1)], dim=1)

    def strip(_: nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        return output[:, : patches + 1]

    reference.ln_pre.register_forward_pre_hook(append)
    reference.transformer.register_forward_hook(strip)
    with torch.no_grad():
        ours, theirs, plain = tower(x), reference(x), clip.visual(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("clip", ["tiny-avg"], indirect=True)
def test_average_pooling_leaves_prompts_out(clip):
    tower = tower_of(clip, IndependentPrompts(n_prompts=2))
    seen = []
    tower.visual._pool = lambda tokens: seen.append(tokens) or (tokens.mean(1), None)
    tower(images(clip))
    assert seen[0].shape[1] == 17  # class token and 4 x 4 patches


def names_by_rule() -> set[str]:
    """The trainable parameters of the paper's model, spelled out."""
    norms = ["ln_pre", "ln_post"]
    norms += [f"transformer.resblocks.{i}.{ln}" for i in range(LAYERS) for ln in ("ln_1", "ln_2")]
    return {"adaptation.sketch", "adaptation.photo"} | {
        f"{side}_tower.visual.{name}.{parameter}"
        for side in ("sketch", "photo")
        for name in norms
        for parameter in ("weight", "bias")
    }


@pytest.fixture
def vit_method(vit_b32, monkeypatch):
    def make(**settings):
        monkeypatch.setattr("sketchclip.clip.encoder.load_backbone", lambda *_: vit_b32)
        return ZeroShotPromptLearning(class_names=["cat", "dog"], **settings)

    return make


def test_the_papers_model_trains_84480_parameters(vit_method):
    method = vit_method()
    assert count_parameters(method)[0] == 2 * (PROMPTS + LAYER_NORMS) == 84_480
    assert set(trainable_names(method)) == names_by_rule()
    assert len(trainable_names(method)) == len(names_by_rule()) == 106


def leaked() -> int:
    """Parameters of a ViT-B/32 tower that are named neither weight nor bias."""
    attention = LAYERS * (3 * WIDTH * WIDTH + 3 * WIDTH)  # in_proj_weight and in_proj_bias
    embeddings = WIDTH + 50 * WIDTH  # class and position embedding
    return attention + embeddings + WIDTH * EMBED


@pytest.mark.parametrize(
    ("n_prompts", "settings", "expected"),
    [
        (3, {"layer_norm": "shared"}, 44_544),
        (3, {"layer_norm": "none"}, 4_608),
        (5, {"layer_norm": "none"}, 2 * 5 * WIDTH),
        (0, {}, 2 * LAYER_NORMS),
        (3, {"also_train": "projection"}, 84_480 + 2 * WIDTH * EMBED),
        (3, {"also_train": "official_leak"}, 84_480 + 2 * leaked()),
        # The released code has one encoder for both sides, with two prompts.
        (
            3,
            {"also_train": "official_leak", "layer_norm": "shared"},
            2 * PROMPTS + LAYER_NORMS + leaked(),
        ),
    ],
    ids=str,
)
def test_switches_train_what_they_say(vit_method, n_prompts, settings, expected):
    method = vit_method(adaptation=IndependentPrompts(n_prompts=n_prompts), **settings)
    assert count_parameters(method)[0] == expected


def test_branches_share_frozen_tensors_and_own_their_layer_norms(make_method):
    method = make_method()
    sketch, photo, clip = (
        dict(v.named_parameters())
        for v in (method.sketch_tower.visual, method.photo_tower.visual, method.clip.visual)
    )
    assert sketch.keys() == photo.keys() == clip.keys()
    for name, parameter in sketch.items():
        pointers = {t[name].data_ptr() for t in (sketch, photo, clip)}
        own = ".ln_" in f".{name}"
        assert len(pointers) == (3 if own else 1), name
        assert parameter.requires_grad == own, name
        assert torch.equal(parameter, photo[name]), name
    assert method.adaptation.sketch.data_ptr() != method.adaptation.photo.data_ptr()
    assert not torch.equal(method.adaptation.sketch, method.adaptation.photo)
    assert method.sketch_tower.adaptation is method.photo_tower.adaptation is method.adaptation
    assert not any(p.requires_grad for p in method.clip.parameters())


def test_shared_layer_norms_are_one_set(make_method):
    method = make_method(layer_norm="shared")
    assert method.sketch_tower.visual is method.photo_tower.visual
    assert method.adaptation.sketch is not method.adaptation.photo


def train_step(method):
    method.text_head.prepare(method.clip, method.backbone, method.hparams.class_names)
    method.log = method.log_dict = lambda *_, **__: None
    method.train()
    size = method.image_size
    batch = TrainingBatch(*torch.randn(3, 2, 3, size, size), torch.tensor([0, 1]))
    method.training_step(batch, 0).backward()


@pytest.mark.parametrize("layer_norm", ["per_branch", "shared", "none"])
def test_every_trained_tensor_gets_a_gradient_and_no_frozen_one(make_method, layer_norm):
    method = make_method(layer_norm=layer_norm)
    before = {n: p.detach().clone() for n, p in method.named_parameters()}
    optimizer = method.configure_optimizers()
    train_step(method)
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name
    optimizer.step()
    changed = {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(trainable_names(method))


def test_optimizer_has_a_rate_for_prompts_and_one_for_the_rest(make_method):
    method = make_method(prompt_lr=3e-3, ln_lr=2e-4)
    optimizer = method.configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    trained = {n: p for n, p in method.named_parameters() if p.requires_grad}
    assert len(rates) == len(trained)
    for name, parameter in trained.items():
        assert rates[id(parameter)] == (3e-3 if name.startswith("adaptation.") else 2e-4), name


def test_frozen_parts_stay_in_eval_mode():
    method = ZeroShotPromptLearning(["a", "b"], backbone="sketchclip-mini", pretrained="random")
    stem = method.clip.visual.conv1
    before = {n: b.clone() for n, b in stem.named_buffers()}
    train_step(method)
    assert method.training
    on = [n for n, m in method.named_modules() if m.training and n.partition(".")[2]]
    assert on == []  # nothing below the method and its direct children
    assert all(torch.equal(b, before[n]) for n, b in stem.named_buffers())


def test_gradient_checkpointing_changes_no_gradient(make_method):
    gradients = []
    for on in (False, True):
        torch.manual_seed(1)
        method = make_method(grad_checkpointing=on)
        train_step(method)
        gradients.append([p.grad for p in method.parameters() if p.requires_grad])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("name", "found"), [("RN50", "ModifiedResNet"), ("ViT-B-16-SigLIP", "TimmModel")]
)
def test_other_towers_are_refused(name, found, monkeypatch):
    # Only the kind of tower matters: shrink what is built around it.
    import open_clip

    real = open_clip.create_model

    def small(name, **options):
        vision = dict(open_clip.get_model_config(name)["vision_cfg"])
        if "timm_model_name" in vision:
            vision["timm_model_name"] = "vit_tiny_patch16_224"
            vision.update(timm_pool="avg", image_size=224)
        else:
            vision.update(layers=[1, 1, 1, 1], width=8)
        text = {"context_length": 16, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
        return real(name, **options, vision_cfg=vision, text_cfg=text)

    monkeypatch.setattr(open_clip, "create_model", small)
    with pytest.raises(SketchClipError, match=f"'{name}' cannot take prompts.*{found}.*Use a ViT"):
        load_backbone(name, "random")


def test_attentional_pooling_is_refused(make_clip):
    visual = make_clip("tiny").visual
    visual.attn_pool = nn.Identity()
    with pytest.raises(SketchClipError, match="attn_pool"):
        check_visual(visual, "coca")
