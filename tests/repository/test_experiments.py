"""Every YAML under experiments/ trains and tests, in one process and in two."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import yaml

from data_modules.images.drawings import svg_of
from sketchclip import methods
from sketchclip.cli import main
from sketchclip.config import experiment_folders
from sketchclip.runs.ablation_grid import is_grid, read_grid
from sketchclip.tables.paper import LATER, ROWS
from tests.helpers.paths import REPOSITORY

EXPERIMENTS = REPOSITORY / "experiments"
FILES = sorted(
    path
    for folder in experiment_folders()
    for path in folder.rglob("*.yaml")
    if path.parent.name not in ("loggers", "sweeps")  # of tests/sketchclip/test_loggers.py
)
GRIDS = [path for path in FILES if is_grid(path)]
# What the others build on is no experiment of its own.
CONFIGS = [path for path in FILES if path not in GRIDS and path.name != "base.yaml"]
# Other forms of a method that the default run tests in one, and those that take longest.
LEFT = (
    *("mcc_dino.yaml", "mcc_triplet.yaml", "splip_fine_grained.yaml", "zse_fine_grained.yaml"),
    *("cross_grad.yaml", "pskd.yaml", "sketch_gcn.yaml", "zse_rn.yaml", "tcn.yaml", "iiae.yaml"),
    *("sketch3t.yaml", "sake.yaml", "cc_dg.yaml", "grl.yaml"),
)
EMBEDDED = ("doodles.yaml", "emoji_pairs.yaml", "scarcity.yaml")

# Run by each of two processes as torchrun starts them: all configs one after the other, because
# importing PyTorch takes longer than a config.
WORKER = """
import json, sys, open_clip, torch
from pathlib import Path
from sketchclip.cli import main
from tests.helpers.paths import REPOSITORY
torch.set_num_threads(1)
open_clip.add_model_config(Path(sys.argv[1]))
for name, options in json.loads(Path(sys.argv[2]).read_text()):
    cli = main(["fit", *options])
    assert cli.trainer.world_size == 2, name
    assert "find_unused_parameters" not in cli.trainer.strategy._ddp_kwargs, name
    cli.trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    if cli.trainer.is_global_zero:
        print("done", name, flush=True)
"""


def name_of(path: Path) -> str:
    return "-".join(path.relative_to(path.parents[len(path.parts) - 2]).with_suffix("").parts[-2:])


def network(path: Path) -> str | None:
    """Tiny network of timm for a config of a method on any encoder; None for one on CLIP."""
    if path.parent.name == "later" and path.stem.startswith(("mcc_", "zse_")):
        return "test_vit"
    return "test_resnet" if path.parent.name == "earlier" else None


def setup(path: Path, data: Path, folder: Path) -> list[str]:
    """Options that run a config on generated images with a tiny tower of twelve layers."""
    configs = [path]
    layer = "extends" not in yaml.safe_load(path.read_text("utf-8"))
    if layer or path.parent.name == "embedded":  # over the config of a method
        method = "sketchy_fg.yaml" if path.name == "emoji_pairs.yaml" else "sketchy.yaml"
        configs.insert(0, EXPERIMENTS / method)
    options = [part for config in configs for part in ("--config", str(config))]
    if path.name not in EMBEDDED:
        options += ["--data.root", str(data), "--data.split", "random:2:0"]
    tower = ["--model.backbone", "tiny-12", "--model.pretrained", "random"]
    name = network(path)
    if name:
        tower = ["--model.encoder=TimmEncoder"] if path.stem.startswith("mcc_") else []
        tower += [f"--model.encoder.name={name}", "--model.encoder.size=64"]
        tower += [f"--model.encoder.pretrained={data / name}.pt"]
        if path.stem in ("cvae", "caae"):  # 70 million parameters, on a tiny encoder, too
            tower += ["--model.latent=8", "--model.hidden=16"]
        if path.stem in ("tvt", "sketch_teacher"):  # a head of 22 million
            tower += ["--model.prototypes=64", "--model.hidden=32"]
        if path.stem == "sake":  # the generated classes are in no WordNet
            tower.append("--model.hint_weight=0")
    return [
        *options,
        *tower,
        *("--data.num_workers", "0", "--data.batch_size", "8", "--data.classes_per_batch", "4"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"),
        *("--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"),
        *("--trainer.check_val_every_n_epoch", "1", "--trainer.log_every_n_steps", "1"),
        *("--trainer.val_check_interval", "1.0"),
        *("--trainer.logger.init_args.save_dir", str(folder)),
        *(f"--model.text_head.path={data / 'vectors.txt'}",) * ("word_vectors" in path.name),
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_tree):
    """Eight classes of pairs, with strokes, and vectors of the words in their names."""
    root = make_tree(tmp_path_factory.mktemp("experiments") / "data")
    for path in root.glob("sketch/*/*.png"):
        path.with_suffix(".svg").write_text(svg_of([[[0, 9, 4], [2, 7, 1]], [[5], [5]]]))
    words = sorted({w for folder in (root / "photo").iterdir() for w in folder.name.split()})
    rows = torch.randn(len(words), 5).tolist()
    lines = [" ".join([w, *map(str, row)]) for w, row in zip(words, rows, strict=True)]
    (root / "vectors.txt").write_text("\n".join(lines))
    for name in ("test_resnet", "test_vit"):
        torch.save(timm.create_model(name).state_dict(), root / f"{name}.pt")
    return root


def test_files_were_found():
    assert {"doodles.yaml", "sketchy_fg.yaml", "tuberlin.yaml", "b_fg_ip.yaml"} <= {
        path.name for path in CONFIGS
    }
    assert {"category.yaml", "components.yaml"} <= {path.name for path in GRIDS}


@pytest.mark.parametrize(
    "config",
    [pytest.param(p, marks=pytest.mark.slow) if p.name in LEFT else p for p in CONFIGS],
    ids=name_of,
)
def test_shipped_config_fits_and_tests(config, data, tmp_path):
    options = setup(config, data, tmp_path)
    fitted = main(["fit", *options])
    assert fitted.trainer.state.finished
    if network(config):
        assert fitted.model.hparams["encoder"]["init_args"]["name"] == network(config)
    else:
        assert fitted.model.backbone == "tiny-12"
    checkpoint = Path(fitted.trainer.log_dir) / "checkpoints" / "last.ckpt"
    saved = torch.load(checkpoint, weights_only=True)
    moments = saved["optimizer_states"][0]["state"].values()
    if config.parent.name not in ("earlier", "later"):  # whose methods keep buffers, too
        assert len(moments) == len(saved["state_dict"]) > 0
        assert all(moment["exp_avg"].any() for moment in moments)  # every one had a gradient
    fitted.trainer.test(fitted.model, datamodule=fitted.datamodule, verbose=False)
    assert (Path(fitted.trainer.log_dir) / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.ddp
def test_every_shipped_config_runs_on_two_processes(data, tmp_path, tmp_path_factory):
    """Without find_unused_parameters: a parameter without a gradient would stop them."""
    import open_clip.factory

    plan = [(name_of(path), setup(path, data, tmp_path / "runs")) for path in CONFIGS]
    shared = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    (tmp_path / "plan.json").write_text(json.dumps([(n, [*o, *shared]) for n, o in plan]))
    configs = tmp_path / "tiny-12.json"
    configs.write_text(json.dumps(open_clip.get_model_config("tiny-12")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            **{"LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            **{"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        }
        arguments = [str(configs), str(tmp_path / "plan.json")]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    results = [process.communicate(timeout=280) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-3000:]
    done = [line.split()[1] for line in results[0][0].splitlines() if line.startswith("done ")]
    assert done == [name for name, _ in plan]


@pytest.mark.parametrize("grid", GRIDS, ids=name_of)
def test_cells_of_a_grid_are_rows_of_the_table(grid):
    known = {row.id: EXPERIMENTS / row.config for row in (*ROWS, *LATER)}
    trained = [cell for cell in read_grid(str(grid), [0]) if cell.train]
    assert trained
    if grid.stem in ("category", "fine_grained", "components"):  # others vary a setting of one row
        assert {cell.name for cell in trained} <= known.keys()
    for cell in trained:
        if grid.parent.name == "later":  # of no row of the paper's table
            assert cell.configs[0].parent.resolve() == grid.parent
            continue
        row = cell.name.removesuffix("_untrained")
        assert cell.configs[0].resolve() == known.get(row, EXPERIMENTS / "sketchy.yaml")


@pytest.mark.parametrize("kind", ["category", "fine_grained", "photos"])
def test_the_one_backbone_table_has_every_row_on_one_encoder_and_budget(kind):
    cells = read_grid(str(EXPERIMENTS / "one_backbone" / f"{kind}.yaml"), [0])
    table = [row for row in (*ROWS, *LATER) if row.group != "ablation"]
    expected = {row.id for row in table} - {"mcc_dino"}  # mcc_triplet, on one encoder
    rows = {row.id for row in table if row.fine_grained == (kind == "fine_grained")}
    # A row may be another ranking of the training of another row.
    assert {cell.name for cell in cells if cell.train or cell.name in rows} == expected & rows
    assert len({cell.configs[-1] for cell in cells}) == 1
    for cell in cells:
        settings = dict(cell.settings)
        backbone = {"model.backbone", "model.encoder.backbone"} & settings.keys()
        assert [settings[name] for name in backbone] == ["sketchclip-mini"], cell.name
        assert not any(name.startswith(("trainer.max", "trainer.limit")) for name in settings)
        assert not any(name.startswith("data.") for name in settings)


@pytest.mark.parametrize("row", [*ROWS, *LATER], ids=lambda row: row.id)
def test_a_row_of_the_table_is_one_config(row):
    content = yaml.safe_load((EXPERIMENTS / row.config).read_text("utf-8"))
    while row.group == "later" and not content["extends"].startswith("../"):  # of another row
        other = (EXPERIMENTS / row.config).with_name(content["extends"])
        of_row = yaml.safe_load(other.read_text("utf-8"))
        content = of_row | {"model": of_row["model"] | content["model"]}
    assert content["extends"].endswith(("base.yaml", "sketchy.yaml", "sketchy_fg.yaml"))
    if row.group in ("earlier", "later"):
        assert row.fine_grained == getattr(methods, row.method).instance_level
        assert content["model"]["class_path"] == row.method
    else:
        assert ("fg" in Path(row.config).stem) == row.fine_grained
        assert row.fine_grained == (row.method != "ZeroShotPromptLearning")
