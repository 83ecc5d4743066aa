"""Time and memory of a training step: the paper's released code and ours, side by side.

    python benchmarks/training_step.py                     # ViT-B/32, 16 triplets, this CPU
    python benchmarks/training_step.py --device cuda --batch 128 --rounds 50

All rows get the same batch and the same random weights (nothing is downloaded) and make a whole
step: forward, backward, Adam. They alternate, a step at a time; times are medians over the rounds.
Processor time is given beside: where other jobs run too, it is the fairer measure on a CPU.
Peak memory is measured in a process for each row: what two steps need beyond the loaded weights.

"Released" is the step of the released code written out from its description (Sain et al., "CLIP for
All Things Zero-Shot Sketch-Based Image Retrieval", CVPR 2023; github.com/aneeshan95/Sketch_LVM):
one encoder with OpenAI's modules, two prompt sets, a forward each for sketch, photo and negative,
the triplet loss alone. It trains LayerNorms and, by accident, everything not named weight or bias.
What its text tower leaves trainable gets no gradient there and is left out. "Ours" is the paper's
model with its defaults, classification losses included. "Ours, as released" trains what the
released code trains; before anything is timed, embeddings, loss and gradients of these two are
checked to be equal.
"""

import argparse
import contextlib
import json
import logging
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.batch import TrainingBatch
from sketchclip.adaptations import IndependentPrompts
from sketchclip.checkpoint import count_parameters
from sketchclip.clip.backbone import load_backbone
from sketchclip.methods import ZeroShotPromptLearning

CLASSES = 104  # seen classes of Sketchy
NAMES = tuple(f"class {i}" for i in range(CLASSES))
PROMPT_LR, REST_LR, MARGIN = 1e-4, 1e-6, 0.2  # of the released code


class QuickGELU(nn.Module):
    """OpenAI's activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Approximate GELU."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """OpenAI's residual attention block, (L, B, W)."""

    def __init__(self, width: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, width * 4),
                gelu=activation,
                c_proj=nn.Linear(width * 4, width),
            )
        )
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then MLP."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ReleasedModel(nn.Module):
    """One visual tower for both sides, a prompt set for each; the released training step.

    Args:
        visual: open_clip's tower, of which the weights are taken (not copied).
        n_prompts: Of each side.
    """

    def __init__(self, visual: Any, n_prompts: int = 3) -> None:
        super().__init__()
        width, first = len(visual.class_embedding), visual.transformer.resblocks[0]
        self.tower = tower = nn.Module()
        tower.conv1 = visual.conv1
        tower.class_embedding = visual.class_embedding
        tower.positional_embedding = visual.positional_embedding
        tower.ln_pre = nn.LayerNorm(width)
        activation = nn.GELU() if isinstance(first.mlp.gelu, nn.GELU) else QuickGELU()
        heads, depth = first.attn.num_heads, len(visual.transformer.resblocks)
        blocks = [Block(width, heads, activation) for _ in range(depth)]
        tower.transformer = nn.Module()
        tower.transformer.resblocks = nn.Sequential(*blocks)
        tower.ln_post = nn.LayerNorm(width)
        tower.proj = visual.proj
        tower.load_state_dict(visual.state_dict(), assign=True)
        for module in tower.modules():
            for name, parameter in module.named_parameters(recurse=False):
                leaks = name not in ("weight", "bias")
                parameter.requires_grad_(leaks or isinstance(module, nn.LayerNorm))
        self.sketch_prompts = nn.Parameter(torch.randn(n_prompts, width))
        self.photo_prompts = nn.Parameter(torch.randn(n_prompts, width))
        self.triplet = nn.TripletMarginWithDistanceLoss(
            distance_function=lambda a, b: 1.0 - F.cosine_similarity(a, b), margin=MARGIN
        )
        self.eval()

    def embed(self, images: Tensor, side: str) -> Tensor:
        """(B, 3, H, W) to (B, D)."""
        tower: Any = self.tower
        patches = tower.conv1(images).flatten(2).permute(0, 2, 1)
        start = tower.class_embedding + patches.new_zeros(len(images), 1, patches.shape[2])
        x = torch.cat([start, patches], dim=1) + tower.positional_embedding
        prompts = self.sketch_prompts if side == "sketch" else self.photo_prompts
        x = torch.cat([x, prompts.expand(len(images), -1, -1)], dim=1)
        x = tower.ln_pre(x).permute(1, 0, 2)
        x = tower.transformer.resblocks(x).permute(1, 0, 2)
        embedding: Tensor = tower.ln_post(x[:, 0, :]) @ tower.proj
        return embedding

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch: three forwards."""
        sketch = self.embed(batch.sketch, "sketch")
        photo = self.embed(batch.photo, "photo")
        assert batch.negative is not None
        negative = self.embed(batch.negative, "photo")
        loss: Tensor = self.triplet(sketch, photo, negative)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with two rates."""
        prompts = [self.sketch_prompts, self.photo_prompts]
        rest = [p for p in self.tower.parameters() if p.requires_grad]
        return torch.optim.Adam(
            [{"params": prompts, "lr": PROMPT_LR}, {"params": rest, "lr": REST_LR}]
        )


class Ours(ZeroShotPromptLearning):
    """Without a trainer, so without logs."""

    def log_losses(self, losses: dict[str, Tensor], batch_size: int) -> None:
        """Nowhere to."""


def ours(backbone: str, names: Sequence[str] = NAMES, **settings: Any) -> Ours:
    """Our method with random weights and a random text bank: only its size costs anything."""
    method = Ours(names, backbone=backbone, pretrained="random", **settings)
    if method.text_head is not None:
        bank = torch.randn(len(names), method.clip.visual.proj.shape[1])
        method.text_head.bank = F.normalize(bank, dim=-1)
    return method.train()  # type: ignore[return-value]


def as_released(backbone: str) -> Ours:
    """Our method with what the released code trains, and how."""
    return ours(
        backbone,
        adaptation=IndependentPrompts(std=1.0),
        layer_norm="shared",
        also_train="official_leak",
        lambda_cls=0.0,
        margin=MARGIN,
        prompt_lr=PROMPT_LR,
        ln_lr=REST_LR,
    )


RELEASED, SAME = "released", "ours, as released"
ROWS: dict[str, Callable[[str], Any]] = {
    RELEASED: lambda backbone: ReleasedModel(load_backbone(backbone, "random").visual),
    "ours": ours,
    "ours, in-batch negatives": lambda backbone: ours(backbone, negatives="in_batch"),
    SAME: as_released,
}
COMPILED = "ours, bf16 autocast, compiled"  # on a GPU only


class Step:
    """A row, ready to make training steps.

    Args:
        name: Of the row.
        options: Of the command line.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.model = ROWS["ours" if name == COMPILED else name](options.backbone)
        self.model.to(options.device)
        self.optimizer = self.model.configure_optimizers()
        self.trained = count_parameters(self.model)[0]
        self.autocast = name == COMPILED
        if self.autocast:
            self.model.sketch_tower.compile()
            self.model.photo_tower.compile()

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Forward."""
        bf16 = torch.autocast("cuda", torch.bfloat16) if self.autocast else contextlib.nullcontext()
        with bf16:
            loss: Tensor = self.model.training_step(batch, 0)
        return loss

    def __call__(self, batch: TrainingBatch) -> None:
        """A whole step."""
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        self.optimizer.step()


def make_batch(options: argparse.Namespace) -> TrainingBatch:
    """Random images and classes."""
    generator = torch.Generator().manual_seed(1)
    size = open_clip.get_model_config(options.backbone)["vision_cfg"]["image_size"]
    shape = (3, options.batch, 3, size, size)
    images = torch.randn(shape, generator=generator)
    labels = torch.randint(CLASSES, (options.batch,), generator=generator)
    sketch, photo, negative = images.unbind()
    return TrainingBatch(sketch, photo, negative, labels).to(options.device)


def check_equal(released: Step, same: Step, batch: TrainingBatch) -> float:
    """Assert that both compute the same embeddings, loss and gradients.

    Args:
        released: The released step; takes over the prompts of the other one.
        same: Ours with the same settings.
        batch: Of a few triplets.

    Returns:
        The loss.
    """
    a, b = released.model, same.model
    with torch.no_grad():
        a.sketch_prompts.copy_(b.adaptation.sketch)
        a.photo_prompts.copy_(b.adaptation.photo)
        for side in ("sketch", "photo"):
            ours, theirs = (m.embed(getattr(batch, side), side) for m in (b, a))
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    losses = [step.loss(batch) for step in (released, same)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    for loss in losses:
        loss.backward()
    pairs = {"sketch": (a.sketch_prompts, b.adaptation.sketch)}
    pairs["photo"] = (a.photo_prompts, b.adaptation.photo)
    tower = dict(b.sketch_tower.visual.named_parameters())
    pairs |= {name: (p, tower[name]) for name, p in a.tower.named_parameters() if p.requires_grad}
    for name, (p, q) in pairs.items():
        error = (p.grad - q.grad).norm() / p.grad.norm()
        assert error < 1e-3, f"gradients of {name} differ by {error:.1e}"
    assert released.trained == same.trained == sum(p.numel() for p, _ in pairs.values())
    for step in (released, same):
        step.optimizer.zero_grad()
    return losses[0].item()


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """MiB that two steps take beyond the weights; to be run in a process of its own."""
    step = Step(name, options)
    batch = make_batch(options)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = _resident()
    for _ in range(2):  # the second one finds Adam's state there
        step(batch)
    if options.device == "cuda":
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(0.0, (peak - before) / 2**20)


def _resident() -> int:
    """Bytes in memory now; the peak so far where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_of(name: str, options: argparse.Namespace) -> float:
    """Peak memory of a row, from a new process.

    Linux hands the peak of a process on to those that it starts: ask before building anything.
    """
    command = [sys.executable, __file__, "--row", name, "--batch", str(options.batch)]
    command += ["--backbone", options.backbone, "--device", options.device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip()}")
    return float(done.stdout.splitlines()[-1])


def measure(names: list[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Memory of every row, then their times in turns."""
    memory = {name: memory_of(name, options) for name in names}
    steps = {name: Step(name, options) for name in names}
    few = argparse.Namespace(**{**vars(options), "batch": 4})
    loss = check_equal(steps[RELEASED], steps[SAME], make_batch(few))
    print(f"'{RELEASED}' and '{SAME}' agree: triplet loss {loss:.6f}", file=sys.stderr)
    batch = make_batch(options)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(1 + options.rounds):
        # Back and forth, so that a machine that slows down does it to all alike.
        for name in names if turn % 2 else reversed(names):
            _wait(options)
            start, busy = time.perf_counter(), time.process_time()
            steps[name](batch)
            _wait(options)
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - busy)
                print(f"{name}: {1000 * seconds[name][-1]:.1f} ms", file=sys.stderr)
    return {
        name: {
            "seconds": seconds[name],
            "processor": processor[name],
            "mib": memory[name],
            "trained": steps[name].trained,
        }
        for name in names
    }


def _wait(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


def show(result: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    """Print a table; ratios are how many times faster than the released step."""
    where = f"{torch.get_num_threads()} threads"
    if options.device == "cuda":
        where = torch.cuda.get_device_name()
    print(
        f"{options.backbone}, {options.batch} triplets, {where}, {options.rounds} rounds, "
        f"torch {torch.__version__}\n"
    )
    print("| step | ms | lowest | x released | CPU ms | x | peak MiB | trained |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    median = statistics.median
    base, base_cost = (median(result[RELEASED][key]) for key in ("seconds", "processor"))
    for name, row in result.items():
        wall, cost = median(row["seconds"]), median(row["processor"])
        print(
            f"| {name} | {1000 * wall:,.0f} | {1000 * min(row['seconds']):,.0f} | "
            f"{base / wall:.2f} | {1000 * cost:,.1f} | {base_cost / cost:.2f} | "
            f"{row['mib']:,.0f} | {row['trained']:,} |"
        )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="triplets in a batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backbone", default="ViT-B-32-quickgelu", help="open_clip name")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--row", choices=[*ROWS, COMPILED], help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip: the weights are random
    if options.row:
        print(peak_memory(options.row, options))
        return
    names = [*ROWS, COMPILED] if options.device == "cuda" else list(ROWS)
    result = measure(names, options)
    show(result, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
