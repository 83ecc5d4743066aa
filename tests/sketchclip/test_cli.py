"""The command line: shipped configs, layers, help, names."""

import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from data_modules import SketchPhotoDataModule
from sketchclip import __version__
from sketchclip.adaptations import Adaptation
from sketchclip.callbacks.grids import RetrievalGrids
from sketchclip.cli import _COMMANDS, console, main
from sketchclip.clip.text_heads import TextHead
from sketchclip.commands.arguments import TRAINER_COMMANDS
from sketchclip.loggers import RunFiles, WandbRun
from sketchclip.methods import RetrievalModule


def resolved(capsys, command: str, *args: object) -> dict:
    """What ``--print_config`` says would run."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([command, *map(str, args), "--print_config"])
    assert stopped.value.code in (0, None)
    return yaml.safe_load(capsys.readouterr().out)


def write(path: Path, **content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def layers(tmp_path):
    """Two configs over one base."""
    write(
        tmp_path / "base.yaml",
        trainer={"max_epochs": 7, "log_every_n_steps": 3},
        model={"class_path": "ZeroShotPromptLearning", "init_args": {"margin": 0.1}},
        data={"class_path": "SketchPhotoFolder", "init_args": {"root": "somewhere"}},
    )
    first = {
        "trainer": {"max_epochs": 8},
        "model": {"init_args": {"adaptation": {"init_args": {"n_prompts": 4}}}},
    }
    second = {"trainer": {"max_epochs": 9}, "data": {"init_args": {"batch_size": 16}}}
    return (
        write(tmp_path / "first.yaml", extends="base.yaml", **first),
        write(tmp_path / "second.yaml", extends="base.yaml", **second),
    )


def test_config_overrides_what_it_extends(layers, capsys):
    config = resolved(capsys, "fit", "--config", layers[0])
    assert config["trainer"]["max_epochs"] == 8
    assert config["trainer"]["log_every_n_steps"] == 3
    assert config["model"]["init_args"]["margin"] == 0.1
    assert config["model"]["init_args"]["adaptation"]["init_args"]["n_prompts"] == 4


def test_later_config_wins_and_the_base_is_not_applied_again(layers, capsys):
    config = resolved(capsys, "fit", "--config", layers[0], "--config", layers[1])
    assert config["trainer"]["max_epochs"] == 9
    assert config["data"]["init_args"]["batch_size"] == 16
    assert (
        config["model"]["init_args"]["adaptation"]["init_args"]["n_prompts"] == 4
    )  # the base names a model, too
    # A flag before the second config changes what only the base sets: it must survive.
    between = ["--trainer.log_every_n_steps", "5"]
    config = resolved(capsys, "fit", "--config", layers[0], *between, "--config", layers[1])
    assert config["trainer"]["log_every_n_steps"] == 5


def test_flags_after_a_config_win(layers, capsys):
    config = resolved(capsys, "fit", "--config", layers[0], "--model.margin", "0.7")
    assert config["model"]["init_args"]["margin"] == 0.7


def test_shipped_configs_are_found_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = resolved(capsys, "fit", "--config", "experiments/tuberlin.yaml")
    assert config["data"]["class_path"].endswith("TUBerlin")
    assert config["trainer"]["max_epochs"] == 60


def test_the_papers_settings_are_the_defaults(capsys):
    config = resolved(capsys, "fit", "--config", "experiments/sketchy.yaml")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    paper = {
        "layer_norm": "per_branch",
        "also_train": "nothing",
        "margin": 0.3,
        "lambda_cls": 0.5,
        "cls_temperature": "clip",
        "prompt_lr": 1e-5,
        "ln_lr": 1e-5,
        "backbone": "ViT-B-32-quickgelu",
    }
    assert {key: model[key] for key in paper} == paper
    assert model["adaptation"]["class_path"].endswith(".IndependentPrompts")
    assert model["adaptation"]["init_args"]["n_prompts"] == 3
    assert model["text_head"]["init_args"] == {"template": "a photo of a {}"}
    assert data["batch_size"] == 64
    assert config["trainer"]["max_epochs"] == 60


def test_the_config_of_a_run_repeats_it(run, capsys):
    fitted = run("fit", "--trainer.max_epochs", "1", "--model.adaptation.n_prompts", "2")
    folder = Path(fitted.trainer.log_dir)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    more = ("--trainer.limit_test_batches", "999")  # cuts nothing
    config = str(folder / "config.yaml")
    tested = main(["test", "--config", config, "--ckpt_path", str(checkpoint), *more])
    assert tested.model.adaptation.n_prompts == 2
    result = json.loads((Path(tested.trainer.log_dir) / "metrics.json").read_text())
    assert result["checkpoint"] == str(checkpoint)
    assert result["unseen_classes"] == list(fitted.datamodule.catalogue.split.unseen)
    assert not result["partial"]
    assert "mAP@all" in capsys.readouterr().out


def test_predict_writes_embeddings(run):
    np = pytest.importorskip("numpy")
    cli = run("predict")
    for side, count in (("sketch", 2 * 3), ("photo", 2 * 4)):
        bank = np.load(Path(cli.trainer.log_dir) / "embeddings" / f"{side}.npz")
        assert bank["state"].shape == (count, 32)
        for path, label in zip(bank["path"], bank["label"], strict=True):
            assert Path(path).parent.name.replace(" ", "_") == bank["class_names"][label]


def light(*args: str) -> str:
    """Output of a command that must not import PyTorch, from a process of its own."""
    program = (
        "import sys; from sketchclip.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'lightning', 'open_clip', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("args", [["--help"], ["-h"], [], ["--version"]])
def test_first_screen_comes_without_pytorch(args):
    printed = light(*args)
    expected = [__version__] if args == ["--version"] else ["fit", "test", "predict", "--config"]
    assert all(word in printed for word in expected)
    assert len(printed.splitlines()) <= 28


# What LightningCLI runs imports PyTorch to know its options.
APART = [*(name for name in _COMMANDS if name not in TRAINER_COMMANDS), "data check"]


@pytest.mark.parametrize("command", APART)
def test_help_of_a_command_comes_without_pytorch(command):
    printed = light(*command.split(), "--help")
    assert f"sketchclip {command}" in printed
    assert "``" not in printed


def test_help_shows_the_options_of_trainer_method_and_data(capsys):
    main(["fit", "--model", "FineGrainedPromptLearning", "--help"])
    printed = capsys.readouterr().out
    for option in ("--trainer.max_epochs", "--model.lambda_delta", "--data.split", "--ckpt_path"):
        assert f"  {option}" in printed, option
    assert "owner/name on the Hugging Face hub" in " ".join(printed.split())
    assert "0x" not in printed  # no repr of an object
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--model", "Nonsense", "--help"])
    assert stopped.value.code == 2


def _config_visible():
    """Every class that a config names."""
    bases = (RetrievalModule, SketchPhotoDataModule, Adaptation, TextHead)
    found, waiting = {RetrievalGrids, WandbRun, RunFiles}, [*bases]
    while waiting:
        entry = waiting.pop()
        waiting += entry.__subclasses__()
        ours = entry.__module__.partition(".")[0] in ("sketchclip", "data_modules")
        if ours and not entry.__name__.startswith("LazyInstance"):  # of a default
            found.add(entry)
    return sorted(found, key=lambda entry: entry.__name__)


@pytest.mark.parametrize("entry", _config_visible(), ids=lambda entry: entry.__name__)
def test_every_option_says_what_it_means(entry):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(entry)
    parameters = inspect.signature(entry).parameters.values()
    names = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    names -= {"class_names"}  # linked, never typed
    told = {action.dest: action.help for action in parser._actions}
    for name in names:
        assert len(str(told.get(name) or "").split()) >= 2, f"{entry.__name__}.{name}"


@pytest.mark.parametrize("entry", _config_visible(), ids=lambda entry: entry.__name__)
def test_every_number_has_a_range(entry):
    for parameter in inspect.signature(entry).parameters.values():
        kind = re.sub(r"Annotated\[(int|float), ", "Annotated[", str(parameter.annotation))
        assert parameter.name == "version" or not re.search(r"\b(int|float)\b", kind), parameter


@pytest.mark.parametrize("model", ["FrozenCLIP", "sketchclip.methods.FrozenCLIP"])
def test_classes_have_short_and_long_names(run, model):
    cli = run("test", "--trainer.fast_dev_run", "1", method=model)
    assert type(cli.model).__name__ == "FrozenCLIP"


def test_the_installed_command_succeeds(monkeypatch):
    # A console script exits with what its function returns, and main() returns a result.
    monkeypatch.setattr("sketchclip.cli.main", lambda *_: {"a": "result"})
    monkeypatch.setattr("sketchclip.cli.listen", lambda: None)  # signals are those of the tests
    assert console() is None
    for script in entry_points(group="console_scripts", name="sketchclip"):
        assert script.value == "sketchclip.cli:console"


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_help_needs_no_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main([command, "--model", "IIAE", "--help"])
    text = capsys.readouterr().out
    assert "--model IIAE --model.encoder.help TimmEncoder" in text
    assert "text_head" not in text.rpartition("These are the options of parts")[2]
