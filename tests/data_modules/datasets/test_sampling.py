"""Order of training samples over epochs, ranks and restarts."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from data_modules import SketchPhotoFolder
from data_modules.datasets.sampling import ClassBatchSampler
from sketchclip.errors import SketchClipError
from tests.helpers.paths import REPOSITORY
from tests.helpers.recording import PLAIN, ClassRecorder, Recorder, asked


def planned(counts, classes, samples, world=1, seed=0, epoch=0):
    """Steps of each rank: arrays (steps, local classes, samples) of sketch indices."""
    result = []
    for rank in range(world):
        sampler = ClassBatchSampler(
            range(sum(counts)), np.array(counts), classes, classes * samples, world, rank, seed
        )
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert len(keys) == len(sampler) == sampler.num_samples
        assert {e for e, _ in keys} == {epoch}
        result.append(np.array([i for _, i in keys]).reshape(-1, classes // world, samples))
    return result


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(0, 40), min_size=4, max_size=12),
    samples=st.integers(1, 6),
    world=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 50),
)
def test_steps_hold_p_classes_of_k_sketches_disjoint_over_ranks(
    counts, samples, world, seed, epoch
):
    counts[:4] = [c + 1 for c in counts[:4]]  # at least P classes with sketches
    ranks = planned(counts, 4, samples, world, seed, epoch)
    (whole,) = planned(counts, 4, samples, 1, seed, epoch)
    total, label_of = sum(counts), np.repeat(np.arange(len(counts)), counts)
    assert len({len(r) for r in ranks}) == 1  # equal batch counts
    assert np.array_equal(np.concatenate(ranks, axis=1), whole)
    labels = label_of[whole % total]
    assert (labels == labels[:, :, :1]).all()
    assert all(len(set(step)) == 4 for step in labels[:, :, 0])
    used, times = np.unique(whole, return_counts=True)
    assert times.max() == 1  # a repeated sketch has an index of its own and other photos
    repeated = {int(label_of[i % total]) for i in used if i >= total}
    assert repeated == {c for c in set(labels.flatten().tolist()) if counts[c] < samples}
    groups = np.array([max(n // samples, n > 0) for n in counts])
    steps = len(whole)
    assert np.minimum(groups, steps + 1).sum() < 4 * (steps + 1)  # no further step is possible


def test_every_sketch_is_used_about_once_an_epoch_and_all_in_time():
    counts = [50, 53, 47, 50, 51, 49, 50, 52]
    epochs = [planned(counts, 4, 4, epoch=e)[0] for e in range(8)]
    used = [set(e.flatten().tolist()) for e in epochs]
    assert min(map(len, used)) >= 0.9 * sum(counts)
    assert len(set().union(*used)) == sum(counts)
    assert len({e.tobytes() for e in epochs}) == 8  # reshuffled
    assert planned(counts, 4, 4, epoch=3)[0].tobytes() == epochs[3].tobytes()
    assert planned(counts, 4, 4, epoch=3, seed=1)[0].tobytes() != epochs[3].tobytes()
    # Classes meet in many combinations, not in the few of a fixed order.
    label_of = np.repeat(np.arange(8), counts)
    together = {frozenset(step) for step in label_of[epochs[0][:, :, 0]].tolist()}
    assert len(together) > len(epochs[0]) / 2


def test_a_large_class_does_not_stop_the_others():
    (steps,) = planned([400, 8, 8, 8], 2, 4)
    assert len(steps) == 6  # as many as the other classes can fill
    assert (np.sort(steps[:, :, 0] // 400, axis=1)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("options", "world", "message"),
    [
        ({"classes_per_batch": 3}, 1, r"batch_size=4 must be a multiple of .*classes_per_batch=3"),
        ({"classes_per_batch": 1}, 2, r"classes_per_batch=1 must be a multiple of .*processes, 2"),
        ({"classes_per_batch": 8, "batch_size": 8}, 1, r"only 6 training classes .* at most 6"),
    ],
)
def test_sizes_that_do_not_fit(tree, options, world, message):
    data = asked(tree, world, options=options, layout="classes")
    with pytest.raises(SketchClipError, match=message):
        data.train_dataloader()


def test_singles_and_overfitting_have_no_batches_of_classes(tree):
    with pytest.raises(SketchClipError, match="singles"):
        asked(tree, layout="classes", pairing="singles").train_dataloader()
    data = asked(tree, layout="classes", options={"classes_per_batch": 2})
    data.trainer.overfit_batches = 1
    with pytest.raises(SketchClipError, match="limit_train_batches"):
        data.setup("fit")


def test_a_batch_of_a_rank_is_whole_classes(tree):
    options = {"batch_size": 8, "classes_per_batch": 4}
    for world, rank in ((1, 0), (2, 0), (2, 1)):
        loader = asked(tree, world, rank, options, layout="classes").train_dataloader()
        for batch in loader:
            labels = batch.label.view(4 // world, 2)
            assert (labels[:, 0] == labels[:, 1]).all()
            assert len(set(labels[:, 0].tolist())) == 4 // world


SCRIPT = """
import sys, json
from pathlib import Path
import torch
from tests.helpers.recording import ClassRecorder, SketchPhotoFolder, fit

torch.set_num_threads(1)
data = SketchPhotoFolder(
    root=sys.argv[1], split="random:2:0", validation="test_classes", num_workers=1, batch_size=8,
    classes_per_batch=4, on_error="skip", seed=3,
)
model, folder = ClassRecorder(), Path(sys.argv[2])
trainer = fit(
    data, folder, model, devices=2, strategy="ddp", max_epochs=2, num_sanity_val_steps=0,
    enable_checkpointing=False,
)
metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
found = {"steps": model.seen, "metrics": metrics}
(folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_share_the_steps_and_list_unreadable_files_once(tmp_path, make_tree):
    root = make_tree(tmp_path / "data", classes=8, sketches=6)
    data = SketchPhotoFolder(root=str(root), split="random:2:0", validation="none")
    broken = [data.catalogue.training[1][c][0] for c in data.class_names[:2]]
    broken += data.catalogue.gallery(data.catalogue.test_classes)[data.catalogue.test_classes[0]]
    for path in broken:
        path.write_bytes(b"")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(tmp_path)],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"rank{r}.json").read_text()) for r in (0, 1)]
    assert ranks[0]["metrics"] == ranks[1]["metrics"]  # a class without photos stops nobody
    assert 0 < ranks[0]["metrics"]["val/mAP@all"] <= 1
    # The sampler was neither replaced nor wrapped, and learned of the epoch.
    for rank, found in enumerate(ranks):
        labels = [[e, step] for e, _, step in found["steps"]]
        order = [planned([6] * 6, 4, 2, 2, seed=3, epoch=e)[rank] // 6 for e in (0, 1)]
        assert labels == [[e, s.flatten().tolist()] for e in (0, 1) for s in order[e]]
    assert done.stderr.count("files could not be read") == 1, done.stderr[-3000:]
    for path in broken:
        assert done.stderr.count(str(path)) == 1, path
    assert "2 replaced in training" in done.stderr
    assert f"{len(broken) - 2} photo left out of the evaluation" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", [Recorder, ClassRecorder])
@pytest.mark.parametrize(
    ("every", "workers"),  # in the middle of an epoch; at its end
    [(2, 0), (2, 1), (None, 0), pytest.param(None, 1, marks=pytest.mark.slow)],
)
def test_a_resumed_run_sees_the_batches_that_the_other_had_not(
    tree, tmp_path, workers, model, every
):
    options = {"num_workers": workers, "classes_per_batch": 2, "validation": "test_classes"}

    def run(folder: str, **more: Any) -> Recorder:
        saver = ModelCheckpoint(tmp_path / folder, save_top_k=-1, every_n_train_steps=every)
        recorder = model()
        data = SketchPhotoFolder(root=str(tree), **{**PLAIN, **options})
        trainer = Trainer(
            accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[saver],
            enable_model_summary=False, num_sanity_val_steps=0, **{"max_epochs": 3, **more},
        )  # fmt: skip
        trainer.fit(recorder, datamodule=data, ckpt_path=path)
        return recorder

    path = None
    whole = run("whole")
    steps = len(whole.seen) // 3
    assert len({sums for _, sums, _ in whole.seen}) > 2 * steps  # epochs differ
    saved = sorted((tmp_path / "whole").iterdir(), key=lambda p: int(p.stem.partition("step=")[2]))
    for path in saved[:-1]:
        at = int(path.stem.partition("step=")[2])
        assert run("again").seen == whole.seen[at:], path.name
