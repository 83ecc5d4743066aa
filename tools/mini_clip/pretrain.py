"""Pre-train the mini CLIP from scratch on rendered icons and emoji with their names.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 tools/mini_clip/pretrain.py \
        --corpus corpus --val starter --teacher corpus/teacher.npz --out run

One thread in each of several processes: on a busy machine OpenMP's threads spend most of a step
waiting for each other (measured on 2 shared cores: 0.6 CPU seconds a step against 3.9).

No doodle and no human sketch is trained on. Doodles of the validation folder's seen classes
(``sketches.json``, ``splits.json``, ``photo/<class>/<vendor>.jpg``) only measure progress.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.distributed as dist
from data import TEMPLATES, IconCorpus, augment, read_banned, read_codes
from evaluate import Validation
from model import Trainee
from torch import Tensor, nn

from sketchclip.clip.mini import MINI_NAME, create_mini, save_mini


def used_tokens(corpus: IconCorpus) -> tuple[list[int], Tensor]:
    """Token ids that captions use, sorted, and the map from full ids to their position.

    Training sees only these rows: a full table would cost more per step than the vision tower.
    Sorting keeps the end token the largest id, by which open_clip finds it.
    """
    tokenizer = open_clip.get_tokenizer(MINI_NAME)
    texts = [t for c, g in zip(corpus.captions, corpus.tags, strict=True) for t in c + g]
    texts += [*TEMPLATES, "an an icon", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    ids = sorted(set(torch.cat([tokenizer(t) for t in texts]).flatten().tolist()))
    lookup = torch.zeros(tokenizer.vocab_size, dtype=torch.long)
    lookup[torch.tensor(ids)] = torch.arange(len(ids))
    return ids, lookup


def export(clip: open_clip.CLIP, ids: list[int], path: Path) -> open_clip.CLIP:
    """Save a trained tower with its cropped token table in the package's format."""
    full = create_mini(None)
    state = {k: v.detach().clone() for k, v in clip.state_dict().items()}
    table = torch.zeros_like(full.token_embedding.weight)
    table[torch.tensor(ids)] = state["token_embedding.weight"]
    full.load_state_dict(state | {"token_embedding.weight": table})
    partial = path.with_suffix(".part")
    save_mini(full, partial, ids)
    partial.replace(path)  # readers never see half a file
    return create_mini(path)


def share(parameters: list[nn.Parameter], progress: float) -> float:
    """Average gradients over the processes and agree on the progress, which ends the run."""
    if not dist.is_initialized():
        return progress
    grads = [p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in grads] + [torch.tensor([progress])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for grad, part in zip(grads, flat[:-1].split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view_as(grad))
    return flat[-1].item()


def rate(progress: float, warmup: float = 0.02, stable: float = 0.6) -> float:
    """Learning-rate factor: linear warm-up, constant, then cosine decay to zero."""
    if progress < stable:
        return min(1.0, progress / warmup)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (progress - stable) / (1 - stable)))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="written by icon_corpus.py")
    parser.add_argument("--val", type=Path, required=True, help="doodle classes to validate on")
    classes = Path(__file__).parents[1] / "bundled_data" / "doodle_classes.json"
    parser.add_argument("--codes", type=Path, default=classes, help="doodle class: code point")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, help="sentence embeddings of the names (.npz)")
    parser.add_argument("--exclude", type=Path, help="doodle classes to hold out")
    parser.add_argument("--names", type=int, default=80, help="names per batch, two views each")
    parser.add_argument("--samples", type=float, default=1e6, help="views in all")
    parser.add_argument("--minutes", type=float, help="schedule by wall time instead of samples")
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--sketch", type=float, default=0.35)
    parser.add_argument("--drop", type=float, default=0.25)
    parser.add_argument("--stable", type=float, default=0.6)
    parser.add_argument("--weights", default="clip=1,image=1,words=.5,sent_i=.5,sent_t=.25")
    parser.add_argument("--eval-every", type=float, default=300, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def load_teacher(path: Path, names: list[str]) -> Tensor:
    """Sentence embeddings in the order of ``names``, from the file of ``teacher.py``."""
    known = np.load(path)
    row = {str(name): i for i, name in enumerate(known["names"])}
    return torch.from_numpy(known["embeddings"][[row[n] for n in names]]).float()


def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Move the averaged weights a little towards the trained ones, faster at the start."""
    keep = min(0.999, step / (step + 20))
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    for ours, theirs in pairs:
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


def append(path: Path, row: dict[str, float]) -> None:
    """Add a row to a CSV file and to the log."""
    print(row, flush=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Train, validate, export and checkpoint; an interrupted run goes on where it stopped."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(args.seed)  # the same weights in every process
    seed = args.seed * 100 + rank  # but its own batches
    codes = read_codes(args.codes)
    banned = read_banned(args.exclude, codes) if args.exclude else set()
    corpus = IconCorpus(args.corpus, seed, banned)
    ids, lookup = used_tokens(corpus)
    tokenizer = open_clip.get_tokenizer(MINI_NAME)
    teacher = load_teacher(args.teacher, corpus.names) if args.teacher else None
    validation = Validation(args.val, codes, args.corpus)
    model = Trainee(len(ids), corpus.word_targets.shape[1], teacher, args.drop)
    model.to(memory_format=torch.channels_last)
    average = Trainee(len(ids), 1, None, 0.0).clip.eval().requires_grad_(False)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    weights = {k: float(v) for k, v in (pair.split("=") for pair in args.weights.split(","))}
    first, seen, before, checkpoint = 1, 0, 0.0, args.out / "checkpoint.pt"
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first, seen, before = state["step"] + 1, state["seen"], state["seconds"]
        corpus.rng = np.random.default_rng((seed, first))
    rand = torch.Generator().manual_seed(seed + 1000003 * (first - 1))
    torch.manual_seed(seed + first - 1)  # patch dropout differs between processes
    print(f"{len(corpus.names)} names, {len(ids)} tokens, from step {first}", flush=True)
    model.train()
    clock, due, running = time.time() - before, before + args.eval_every, {}
    for step in itertools.count(first):
        names, raw, mono = corpus.batch(args.names)
        tokens = lookup[tokenizer([corpus.caption(g) for g in names])]
        groups = torch.from_numpy(names)
        targets = corpus.word_targets[groups].float()
        targets = targets / targets.sum(1, keepdim=True).clamp(min=1)
        views = augment(raw, mono, rand, args.sketch)
        with torch.autocast("cpu", torch.bfloat16):
            losses = model.losses(views, tokens, groups, targets)
        sum(weights.get(k, 0.0) * v for k, v in losses.items()).backward()
        seconds, seen = time.time() - clock, seen + 2 * args.names * world
        progress = seconds / 60 / args.minutes if args.minutes else seen / args.samples
        progress = share(parameters, progress)
        for group in optimizer.param_groups:  # after sharing: every process takes the same step
            group["lr"] = args.lr * rate(progress, stable=args.stable)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        follow(average, model.clip, step)
        for k, v in losses.items():
            running[k] = running.get(k, v.item()) * 0.98 + v.item() * 0.02
        if rank == 0 and step % 50 == 0:
            left = seconds * (1 / max(progress, 1e-6) - 1) / 60
            line = " ".join(f"{k} {v:.3f}" for k, v in running.items())
            print(f"{seen:>9} {seen / seconds:5.0f}/s left {left:4.0f} min | {line}", flush=True)
        if rank == 0 and (seconds > due or progress >= 1):
            due += args.eval_every
            exported = export(average, ids, args.out / "latest.safetensors")
            row = {"samples": seen, "minutes": round(seconds / 60, 2)}
            row |= {k: round(v, 4) for k, v in running.items()} | validation(exported)
            append(args.out / "curve.csv", row)
            state = {"model": model.state_dict(), "average": average.state_dict(), "step": step}
            state |= {"optimizer": optimizer.state_dict(), "seen": seen, "seconds": seconds}
            torch.save(state, checkpoint)
        if progress >= 1:
            break


if __name__ == "__main__":
    main()
