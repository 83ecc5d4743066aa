"""Numbers and switches of commands that cannot be: one message, before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace
from lightning.pytorch import Trainer

from sketchclip.cli import main
from sketchclip.commands.parser_errors.shorten import short_error
from sketchclip.commands.settings.check import check_settings, lightning_errors
from sketchclip.commands.settings.shorthand import spell_out
from sketchclip.errors import SketchClipError


def settings(**given: Any) -> Namespace:
    """Settings of a command as LightningCLI parses them."""
    found = Namespace(trainer=Namespace(), seed_everything=0)
    for name, value in given.items():
        found[name.replace("__", ".")] = value
    return found


def part(class_path: str, **arguments: Any) -> Namespace:
    return Namespace(class_path=class_path, init_args=Namespace(**arguments))


FOLDER = "data_modules.SketchPhotoFolder"
METHOD = "sketchclip.methods.ZeroShotPromptLearning"
DEEP = "sketchclip.adaptations.DeepPrompts"
STOP = "lightning.pytorch.callbacks.EarlyStopping"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed_everything": -1}, "--seed_everything: expected at least 0, found -1"),
        ({"trainer__max_epochs": -2}, "--trainer.max_epochs: expected at least -1, found -2"),
        ({"trainer__limit_train_batches": 1.5}, "--trainer.limit_train_batches: .*found 1.5"),
        ({"trainer__limit_train_batches": 0}, "--trainer.limit_train_batches: .*more than 0"),
        ({"trainer__gradient_clip_val": float("nan")}, "--trainer.gradient_clip_val: .*nan"),
        ({"trainer__accumulate_grad_batches": 0}, "--trainer.accumulate_grad_batches: .*least 1"),
        ({"trainer__check_val_every_n_epoch": 0}, "--trainer.check_val_every_n_epoch: .*least 1"),
        ({"trainer__devices": 0}, "--trainer.devices: expected at least 1, .*found 0"),
        ({"trainer__devices": "-5"}, "--trainer.devices: .*found -5"),
        ({"trainer__enable_checkpointing": False}, "--trainer.enable_checkpointing: expected true"),
        ({"grids": Namespace(every=0)}, "--grids.every: expected at least 1, found 0"),
        ({"data": part(FOLDER, batch_size=-4)}, "--data.batch_size: expected at least 1, found -4"),
        (
            {"model": part(METHOD, adaptation=part(DEEP, n_prompts=0))},
            "--model.adaptation.n_prompts: expected at least 1, found 0",
        ),
        (
            {"trainer__callbacks": [part(STOP, monitor="a", patience=-1)]},
            "--trainer.callbacks.patience: expected at least 0, found -1",
        ),
    ],
)
def test_settings_that_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SketchClipError, match=message):
        check_settings("fit", settings(**given))


def test_settings_that_can_be() -> None:
    given = {
        "max_epochs": -1,
        "limit_train_batches": 0.5,
        "limit_test_batches": 0,
        "devices": "auto",
    }
    good = {f"trainer__{name}": value for name, value in given.items()}
    check_settings("fit", settings(**good, data=part(FOLDER, num_workers=0), grids=None))
    with pytest.raises(SketchClipError, match=r"limit_test_batches: .* 0 in 'test'"):
        check_settings("test", settings(**good))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"accelerator": "xyz"}, "--trainer.accelerator xyz: .*invalid accelerator"),
        ({"accelerator": "cpu", "devices": "0,0"}, "--trainer.devices 0,0: .*an int > 0"),
        ({"profiler": "none such"}, "--trainer.profiler none such: .*simple"),
    ],
)
def test_what_lightning_refuses_is_one_message(made: dict[str, Any], message: str) -> None:
    with pytest.raises(SketchClipError, match=message), lightning_errors(made):
        Trainer(logger=False, enable_checkpointing=False, **made)


def test_errors_of_ours_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="ours") as told, lightning_errors({}):
        raise ValueError("ours")
    assert not isinstance(told.value, SketchClipError)


def test_a_value_of_another_type_is_one_line() -> None:
    message = """Parser key "model":
  Errors:
    - Problem with given class_path 'A':
        Parser key "cls_temperature":
          Errors:
            - Expected a typing.Literal['clip', 'raw']
            - Expected a <class 'float'>
          Given value: x
    - Expected a <class 'NoneType'>"""
    expected = "--model.cls_temperature: expected clip, raw or a number, found 'x'."
    assert short_error(message) == expected
    assert short_error("another form") == "another form"


def test_negative_numbers_with_an_exponent_are_no_options() -> None:
    given = ["fit", "--model", "M", "--model.lr", "-1e-4", "--model.margin", "-.inf", "--x", "-c"]
    joined = ["fit", "--model", "M", "--model.lr=-1e-4", "--model.margin=-.inf", "--x", "-c"]
    assert spell_out(given) == joined


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("evaluate --sketches q --photos p --precision_k -1", "--precision_k: expected at least 1"),
        ("evaluate --sketches q --photos p --map_k 5 0", "--map_k: expected at least 1, found 0"),
        ("evaluate --sketches q --photos p --accuracy_k 1.5", "--accuracy_k: expected a whole"),
        ("evaluate --sketches q --photos p --map_k 99999999999", "--map_k: expected a number of"),
        ("compare a b --resamples 0", "--resamples: expected at least 1, found 0"),
        ("compare a b --seed -1", "--seed: expected at least 0, found -1"),
        ("ablate g.yaml --jobs 0", "--jobs: expected at least 1, found 0"),
        ("ablate g.yaml --seeds 0,x", "--seeds: expected a whole number, found 'x'"),
        ("ablate g.yaml --seed 0", "--seed: unknown option. Nearest: --seeds. See sketchclip abl"),
        ("data check root --worker 1", "--worker: unknown option. Nearest: --workers."),
        ("compare a b --resamples", "--resamples: expected a value, found none."),
        ("ablate g.yaml --seeds 0,1,0", "--seeds: expected each seed once, found 0,1,0"),
        ("ablate g.yaml --seeds 0,-1", "--seeds: expected at least 0, found -1"),
        ("plot runs --points 0", "--points: expected at least 1"),
        ("plot runs --perplexity nan", "--perplexity: expected more than 0, found nan"),
        ("show run -n 0", "-n: expected at least 1, found 0"),
        ("search a.png --index i -k 0", "-k: expected at least 1, found 0"),
        ("search a.png --index i --text-weight 1.5", "--text-weight: expected 0 to 1, found 1.5"),
        ("index photos -o i --readers 0", "--readers: expected at least 1"),
        ("export last --to m --queries -1", "--queries: expected at least 1, found -1"),
        ("quickstart --epochs 0", "--epochs: expected at least 1"),
        ("demo --port 65536", "--port: expected 0 to 65535, found 65536"),
        ("data prepare root --out o --size 0", "--size: expected at least 1"),
        ("data check root --workers -1", "--workers: expected at least 0"),
    ],
)
def test_numbers_of_other_commands(
    args: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(args.split())
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert message in told, told
    assert told.count("error:") == 1
    assert not [*tmp_path.iterdir()]


def test_a_blank_text_is_nothing_to_search_for(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["search", "--index", "i", "--text", "  "])
    assert "--text: expected words, found none" in capsys.readouterr().err
