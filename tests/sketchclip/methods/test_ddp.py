"""Two processes train and measure what one does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from sketchclip.cli import main
from sketchclip.clip.mini import create_mini, save_mini
from sketchclip.runs.rankings import read_rankings
from tests.helpers.paths import REPOSITORY


def command(name: str, *args: str) -> None:
    """The real command line: Lightning starts it again for the second process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    environment |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    environment.pop("PL_GLOBAL_SEED", None)
    done = subprocess.run(
        [sys.executable, "-m", "sketchclip", name, *args],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_equal_one(tmp_path, make_tree):
    # 7 classes: 4 seen with 5 sketches each, which two processes share evenly (repeated sketches
    # would weigh more in training), 3 unseen with 15 sketches and 9 photos, which they cannot.
    data = make_tree(tmp_path / "data", classes=7, sketches=5, photos=3)
    torch.manual_seed(0)
    weights = tmp_path / "mini.safetensors"
    save_mini(create_mini(None), weights, range(49408))

    checkpoints, results, files, environments = [], [], [], []
    for devices in (1, 2):
        folder = tmp_path / f"{devices}"
        shared = [
            *("--model", "ZeroShotPromptLearning", "--model.backbone", "sketchclip-mini"),
            *("--model.pretrained", str(weights)),
            *("--model.prompt_lr", "1e-3", "--model.ln_lr", "1e-3"),
            *("--data", "SketchPhotoFolder", "--data.root", str(data)),
            *("--data.split", "random:3:0", "--data.validation", "test_classes"),
            *("--data.num_workers", "0", "--data.batch_size", "8", "--data.eval_batch_size", "4"),
            *("--trainer.accelerator", "cpu", "--trainer.devices", str(devices)),
            *("--trainer.strategy", "ddp" if devices == 2 else "auto"),
            # W&B as well where there are two processes: only one of them may start a run.
            *("--trainer.enable_progress_bar", "false"),
            *("--trainer.logger", "wandb" if devices == 2 else "csv"),
            *("--trainer.logger.save_dir", str(folder)),
        ]
        # One process needs no new interpreter.
        execute = command if devices == 2 else lambda *args: main(args)
        execute("fit", *shared, "--trainer.max_epochs", "2")
        runs = folder / "experiment"
        checkpoint = runs / "version_0" / "checkpoints" / "last.ckpt"
        execute("test", *shared, "--ckpt_path", str(checkpoint))
        checkpoints.append(torch.load(checkpoint, weights_only=True))
        # One run folder and one set of files, whatever the number of processes.
        assert sorted(p.name for p in runs.iterdir()) == ["last", "version_0"]
        names = sorted(str(p.relative_to(runs)) for p in runs.rglob("*") if p.is_file())
        files.append([name for name in names if "/wandb/" not in name])
        for sent in (runs / "version_0" / "wandb", runs / "version_0" / "test" / "wandb"):
            assert len([*sent.glob("offline-run-*/*.wandb")]) == devices - 1
        environments.append(json.loads((runs / "version_0" / "environment.json").read_text()))
        results.append(json.loads((runs / "version_0" / "test" / "metrics.json").read_text()))

    one, two = results
    assert files[0] == files[1]
    found = {name.partition("/")[2] for name in files[1]}
    assert found >= {"grids/epoch_002.png", "test/grid.png", "checkpoints/best.ckpt"}
    assert not [name for name in files[1] if name.endswith(("-2.yaml", "-2.json"))]
    assert [where["processes"] for where in environments] == [1, 2]
    assert environments[0]["data"] == environments[1]["data"]
    assert (two["queries"], two["gallery"]) == (15, 9)
    assert two["metrics"].keys() == one["metrics"].keys()
    assert two["metrics"] == pytest.approx(one["metrics"], abs=1e-4)
    assert two["classes"].keys() == one["classes"].keys()
    for name, values in one["classes"].items():
        assert two["classes"][name] == pytest.approx(values, abs=1e-3)
    assert two.keys() == one.keys()
    names = [
        [line.split(",")[0] for line in path.read_text().splitlines()]
        for path in sorted(tmp_path.glob("*/experiment/version_0/test/queries.csv"))
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 16
    kept = [read_rankings(tmp_path / f"{n}/experiment/version_0/test") for n in (1, 2)]
    assert [k.shown.shape for k in kept] == [(15, 9), (15, 9)]
    assert kept[0].path.tolist() == kept[1].path.tolist()
    assert checkpoints[1]["global_step"] == checkpoints[0]["global_step"] == 6
    start = create_mini(weights).visual.ln_post.weight
    for name, value in checkpoints[0]["state_dict"].items():
        torch.testing.assert_close(checkpoints[1]["state_dict"][name], value, rtol=0, atol=1e-5)
    trained = checkpoints[0]["state_dict"]["sketch_tower.visual.ln_post.weight"]
    assert (trained - start).abs().max() > 1e-3  # a hundred times the tolerance
