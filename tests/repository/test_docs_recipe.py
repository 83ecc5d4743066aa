"""Each block of docs/recipe.md trains, on small data, and does what it is there for."""

import inspect
import re
import shlex

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from sketchclip import methods
from tests.repository.test_docs import DOCS, blocks, commands

PAGE = DOCS / "recipe.md"
TRIED = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--grids.queries", "0")
CONFIG = "sketchclip fit --config experiments/doodles.yaml "
LINES = [line.removeprefix(CONFIG) for line in commands(PAGE)]
CONFIGS = [block.text for block in blocks(PAGE) if block.language == "yaml"]


@pytest.mark.parametrize("line", LINES)
def test_a_command_trains(run, line):
    cli = run("fit", *TRIED, *shlex.split(line))
    assert cli.trainer.current_epoch == 1
    name = re.search(r"--optimizer (\w+)", line)
    assert type(cli.trainer.optimizers[0]).__name__ == (name[1] if name else "Adam")


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_of_four_lines_trains(run, tmp_path, text):
    assert len(text.splitlines()) <= 4
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    cli = run("fit", *TRIED, "--config", config)
    assert cli.trainer.current_epoch == 1
    if name := re.search(r"class_path: (\w+LR\w*)", text):
        (schedule,) = cli.trainer.lr_scheduler_configs
        expected = "SequentialLR" if "lr_warmup" in text else name[1]
        assert type(schedule.scheduler).__name__ == expected
        assert schedule.interval == ("step" if "step" in text.splitlines()[-1] else "epoch")
    else:
        stopping = [c for c in cli.trainer.callbacks if isinstance(c, EarlyStopping)]
        optimizer = cli.trainer.optimizers[0]
        assert stopping or type(optimizer) is torch.optim.AdamW
        assert not stopping or float(stopping[0].best_score) > 0


def test_the_methods_that_refuse_are_those_of_the_page():
    kinds = [getattr(methods, name) for name in methods.__all__]
    several = {k for k in kinds if "automatic_optimization = False" in inspect.getsource(k)}
    schedule = re.compile("LambdaLR|decaying|warmed_up")
    own = {
        k
        for k in kinds
        if k.sets_rates or schedule.search(inspect.getsource(k.configure_optimizers))
    }
    labels = {"CC-DG": "CCDG", "SEM-PCYC": "SEMPCYC", "Cross-GRAD": "CrossGrad"}
    rows = re.findall(r"^\| ([^|]+) \| no: (a|several) ", PAGE.read_text("utf-8"), re.MULTILINE)
    listed = {why: {labels.get(n, n) for n in names.split(", ")} for names, why in rows}
    assert listed == {
        "a": {kind.__name__ for kind in own - several},
        "several": {kind.__name__ for kind in several},
    }
