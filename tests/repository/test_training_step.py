"""The training step's benchmark, and the last block computed for one token."""

import json
import sys

import pytest
import torch

from benchmarks import training_step
from sketchclip.adaptations import IndependentPrompts


def reference(tower, x):
    """The prompted tower by open_clip's transformer, all tokens through every block."""
    visual = tower.visual
    tokens = visual._embeds(x)
    length = tokens.shape[1]
    prompts = visual.ln_pre(tower.adaptation.prompts(x, tower.side)).expand(len(x), -1, -1)
    tokens = visual.transformer(torch.cat([tokens, prompts], dim=1))
    first = length if tower.adaptation.reads_prompt else 0
    pooled, _ = visual._pool(tokens[:, first : first + length])
    return pooled @ visual.proj


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("reads_prompt", [False, True])
@pytest.mark.parametrize(
    ("backbone", "last"), [("tiny", 1), ("tiny-quickgelu", 1), ("tiny-avg", 20)]
)
def test_the_last_block_computes_what_is_read(
    make_method, backbone, last, reads_prompt, checkpointing
):
    """16 patches, the class token and 3 prompts; embeddings and gradients stay the same."""
    method = make_method(
        backbone=backbone,
        pretrained="random",
        adaptation=IndependentPrompts(std=1.0, reads_prompt=reads_prompt),
        also_train="official_leak",
        grad_checkpointing=checkpointing,
    )
    tower = method.photo_tower
    trained = [p for p in tower.visual.parameters() if p.requires_grad] + [method.adaptation.photo]
    for parameter in trained:
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x, weights = torch.randn(4, 3, 32, 32), torch.randn(4, 32)
    seen = []
    mlp = tower.visual.transformer.resblocks[-1].mlp
    handle = mlp.register_forward_hook(lambda *args: seen.append(args[2].shape[1]))
    ours = tower(x)
    handle.remove()
    assert seen == [last]
    theirs = reference(tower, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad((y * weights).sum(), trained) for y in (ours, theirs)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def options(**changes):
    values = {"backbone": "tiny-quickgelu", "batch": 4, "device": "cpu", "rounds": 1}
    return training_step.argparse.Namespace(**{**values, **changes})


def test_the_released_step_and_ours_with_its_settings_are_one():
    given = options()
    steps = [
        training_step.Step(name, given) for name in (training_step.RELEASED, training_step.SAME)
    ]
    loss = training_step.check_equal(*steps, training_step.make_batch(given))
    assert loss > 0
    with torch.no_grad():  # that it would notice
        steps[0].model.tower.ln_post.weight.mul_(torch.rand(32))
    with pytest.raises(AssertionError):
        training_step.check_equal(*steps, training_step.make_batch(given))


def test_every_step_trains_its_parameters():
    given = options()
    for name in training_step.ROWS:
        step = training_step.Step(name, given)
        trained = {n: p for n, p in step.model.named_parameters() if p.requires_grad}
        before = {n: p.detach().clone() for n, p in trained.items()}
        step(training_step.make_batch(given))
        still = [n for n, p in trained.items() if torch.equal(p, before[n])]
        assert still == [], name
        assert step.trained == sum(p.numel() for p in trained.values())


@pytest.mark.slow
def test_every_step_is_measured(tmp_path, monkeypatch, capsys):
    result = tmp_path / "result.json"
    given = "--backbone sketchclip-mini --batch 4 --rounds 1 --json"
    monkeypatch.setattr(sys, "argv", ["training_step.py", *given.split(), str(result)])
    training_step.main()
    rows = json.loads(result.read_text())
    assert list(rows) == list(training_step.ROWS)
    assert all(row["seconds"][0] > 0 and row["trained"] > 0 for row in rows.values())
    assert "| x released |" in capsys.readouterr().out
