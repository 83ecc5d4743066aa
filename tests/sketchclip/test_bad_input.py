"""Bad input gets one message that says what to do, and exit status 2."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from data_modules import SketchPhotoFolder
from sketchclip.errors import SketchClipError

Args = list[str]


def root(folder: Path) -> Args:
    return ["--data.root", str(folder)]


def missing_root(data: Path) -> Args:
    return root(data / "nowhere")


def archive_as_root(data: Path) -> Args:
    (data / "data.zip").write_bytes(b"PK")
    return root(data / "data.zip")


def folder_as_config(data: Path) -> Args:
    (data / "configs").mkdir()
    (data / "configs" / "a.yaml").write_text("{}")
    return ["--config", str(data / "configs")]


def no_root(data: Path) -> Args:
    return ["--data.root", "null"]


def other_layout(data: Path) -> Args:
    (data / "sketch").rename(data / "drawings")
    return root(data)


def empty_class(data: Path) -> Args:
    (data / "photo" / "unicorn").mkdir()
    return root(data)


def one_class(data: Path) -> Args:
    for folder in [*data.glob("*/*")]:
        if not folder.name.startswith("red"):
            shutil.rmtree(folder)
    return root(data)


def no_class(data: Path) -> Args:
    for folder in [*data.glob("photo/*")]:
        shutil.rmtree(folder)
    return root(data)


def broken_image(data: Path) -> Args:
    for path in data.glob("photo/*/*"):
        path.write_bytes(b"no image")
    return root(data)


def truncated_image(data: Path) -> Args:
    for path in data.glob("sketch/*/*"):
        path.write_bytes(path.read_bytes()[:90])
    return root(data)


def broken_image_in_a_worker(data: Path) -> Args:
    return [*broken_image(data), "--data.num_workers", "1"]


def duplicate_folders(data: Path) -> Args:
    (data / "sketch" / "Red-Ellipse").mkdir()
    Image.new("RGB", (4, 4)).save(data / "sketch" / "Red-Ellipse" / "a.png")
    return root(data)


def split_file(data: Path, text: str) -> Args:
    (data / "unseen.txt").write_text(text)
    return [*root(data), "--data.split", str(data / "unseen.txt")]


def foreign_checkpoint(data: Path) -> Args:
    torch.save({"weight": torch.zeros(2)}, data / "foreign.ckpt")
    return ["--ckpt_path", str(data / "foreign.ckpt")]


def text_as_checkpoint(data: Path) -> Args:
    (data / "a.ckpt").write_text("hello")
    return ["--ckpt_path", str(data / "a.ckpt")]


def config(text: str) -> Callable[[Path], Args]:
    def build(data: Path) -> Args:
        (data / "a.yaml").write_text(text)
        return ["--config", str(data / "a.yaml")]

    return build


def args(*values: str) -> Callable[[Path], Args]:
    return lambda data: list(values)


LAYOUT = r"sketch/<class>/ and photo/<class>/"
# Name: (command, what is wrong, what the message must say).
TABLE: dict[str, tuple[str, Callable[[Path], Args], str]] = {
    "missing root": ("fit", missing_root, rf"nowhere does not exist.*{LAYOUT}"),
    "archive as root": ("test", archive_as_root, rf"data\.zip is a file: unpack it.*{LAYOUT}"),
    "folder as config": ("fit", folder_as_config, r"configs is a folder.*such as .*a\.yaml"),
    "no root": ("fit", no_root, rf"needs a folder: --data.root=.*{LAYOUT}"),
    "other layout": ("fit", other_layout, rf"expected {LAYOUT}.*found drawings, photo"),
    "empty class": ("fit", empty_class, r"unicorn has no image.*[Aa]dd images or remove"),
    "one class": ("fit", one_class, r"2 unseen|at least 2"),
    "no class": ("fit", no_class, r"photo holds no class folder"),
    "broken image": ("fit", broken_image, r"Cannot read image .*\.png .*repair or remove"),
    "truncated image": ("fit", truncated_image, r"Cannot read image .*\.png .*repair or remove"),
    "broken image, worker": ("fit", broken_image_in_a_worker, r"Cannot read image .*repair"),
    "broken image, test": ("test", broken_image, r"Cannot read image .*\.png .*repair or remove"),
    "duplicate folders": (
        "fit",
        duplicate_folders,
        r"'Red-Ellipse' and 'red ellipse' are one class.*Rename or merge",
    ),
    "unknown class in split": (
        "fit",
        lambda data: split_file(data, "red ellipse\ngriffin\n"),
        r"griffin.*Found 8 classes.*--data.split=random:2:0",
    ),
    "published split, other data": (
        "test",
        args("--data.split", "sketchy_104_21"),
        r"125 of its 125 classes.*--data.split=random:2:0",
    ),
    "misspelled class in split": (
        "fit",
        lambda data: split_file(data, "red ellips\n"),
        r"1 of its 1 classes: red_ellips \(nearest: red_ellipse\)\. Correct the names",
    ),
    "too small a split": (
        "fit",
        lambda data: split_file(data, "red ellipse\n"),
        r"7 seen and 1 unseen.*at least 2 of each",
    ),
    "unknown split": ("fit", args("--data.split", "nosuch"), r"Unknown split 'nosuch'.*random:5:0"),
    "missing split file": (
        "fit",
        args("--data.split", "no.txt"),
        r"data\.split=no\.txt: the file does not exist",
    ),
    "bad random split": ("fit", args("--data.split", "random:x"), r"random:<n_unseen>:<seed>"),
    "too few classes to set aside": (
        "fit",
        args("--data.val_fraction", "0.9"),
        r"too few.*--data.validation=none",
    ),
    "pure bf16": ("fit", args("--trainer.precision", "bf16-true"), r"bf16-true.*Use bf16-mixed"),
    "pure fp16": ("fit", args("--trainer.precision", "16-true"), r"16-true.*Use bf16-mixed"),
    "frozen model, fit": ("fit", args("--model", "FrozenCLIP"), r"FrozenCLIP.*'sketchclip test'"),
    "nothing to train": (
        "fit",
        args("--model.adaptation.n_prompts", "0", "--model.layer_norm", "none"),
        r"nothing to train.*turn on prompts",
    ),
    "missing checkpoint": ("test", args("--ckpt_path", "no.ckpt"), r"no\.ckpt does not exist"),
    "text as checkpoint": ("test", text_as_checkpoint, r"a\.ckpt is no checkpoint of sketchclip"),
    "foreign checkpoint": ("test", foreign_checkpoint, r"checkpoint"),
    "missing config": ("fit", args("--config", "no.yaml"), r"no\.yaml does not exist.*doodles"),
    "misspelled config": (
        "fit",
        args("--config", "experiments/owndata.yaml"),
        r"does not exist\. Nearest: experiments/own_data\.yaml",
    ),
    "config of a misspelled folder": (
        "fit",
        args("--config", "experiment/own_data.yaml"),
        r"does not exist\. Nearest: experiments/own_data\.yaml\.",
    ),
    "misspelled command": ("tset", args(), r"unknown command 'tset'\. Nearest: test\."),
    "missing base": ("fit", config("extends: nobase.yaml"), r"nobase\.yaml does not exist"),
    "no mapping": ("fit", config("- a\n- b\n"), r"expected a mapping"),
    "no YAML": ("fit", config("a: [1\n"), r"is no YAML"),
    "unknown option": ("fit", args("--model.margins", "1"), r"margins: .*--model\.margin\."),
    "unknown method": ("fit", args("--model", "NoMethod"), r"NoMethod"),
    "bad choice": ("fit", args("--model.layer_norm", "both"), r"per_branch"),
    "unknown backbone": ("fit", args("--model.backbone", "ViT-Q"), r"Unknown backbone 'ViT-Q'"),
    "unknown command": ("train", args(), r"unknown command 'train'.*fit"),
}


def check(capfd, run, command: str, given: Args, expected: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(command, "--trainer.max_epochs", "1", *given)
    message = capfd.readouterr().err
    assert stopped.value.code == 2
    assert re.search(f"(?s){expected}", message), message
    assert "Traceback" not in message
    errors = [line for line in message.splitlines() if "error:" in line]
    assert len(errors) == 1, message
    return message


@pytest.mark.parametrize("name", TABLE)
def test_one_message_and_status_2(name, run, tree, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    shutil.copytree(tree, data)
    command, build, expected = TABLE[name]
    check(capfd, run, command, build(data), expected)


PROMPTS = "model.adaptation.n_prompts"
IN_FILE = "model.init_args.adaptation.init_args.n_prompts"
STOP = "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: a}}]}"
# Name: (what is given, beginning of the message after "sketchclip: error: ", a.yaml a config).
NAMES: dict[str, tuple[Callable[[Path], Args], str]] = {
    "trainer 5": (config("trainer: 5"), "a.yaml: trainer: expected a mapping, found 5."),
    "trainer list": (
        config("trainer:\n- max_epochs: 3"),
        "a.yaml: trainer: expected a mapping, found [{'max_epochs': 3}].",
    ),
    "trainer null": (config("trainer:"), "a.yaml: trainer: expected a mapping, found null."),
    "grids 3": (config("grids: 3"), "a.yaml: grids: expected a mapping, found 3."),
    "model 5": (config("model: 5"), "a.yaml: model: expected the name of a class, or a mapping"),
    "data list": (config("data: []"), "a.yaml: data: expected the name of a class, or a mapping"),
    "arguments 5": (
        config("model: {init_args: 5}"),
        "a.yaml: model.init_args: expected a mapping, found 5.",
    ),
    "class 5": (config("model: {class_path: 5}"), "a.yaml: model.class_path: expected the name"),
    "class list": (config("data: {class_path: []}"), "a.yaml: data.class_path: expected the name"),
    "logger 5": (
        config("trainer: {logger: 5}"),
        "a.yaml: trainer.logger: expected the name of a class (Logger) or a list or true or false",
    ),
    "callbacks 5": (
        config("trainer: {callbacks: 5}"),
        "a.yaml: trainer.callbacks: expected a list or the name of a class (Callback), found '5'.",
    ),
    "seed list": (config("seed_everything: []"), "a.yaml: seed_everything: expected true or false"),
    "key 5": (config("5: 3"), "a.yaml: expected a text as a key, found 5."),
    "key modle": (config("modle: {a: b}"), "a.yaml: modle: unknown key. Nearest: model."),
    "key config": (config("config: b.yaml"), "a.yaml: config: unknown key.\n"),
    "key too high": (config("n_prompts: 3"), f"a.yaml: n_prompts: unknown key. Nearest: {IN_FILE}"),
    "key max_epoch": (
        config("trainer: {max_epoch: 3}"),
        "a.yaml: trainer.max_epoch: unknown key. Nearest: trainer.max_epochs.",
    ),
    "key of a class": (
        config("model: {init_args: {n_prompts: 3}}"),
        "a.yaml: model.init_args.n_prompts: unknown key of ZeroShotPromptLearning. Nearest: "
        f"{IN_FILE}.",
    ),
    "key of a callback": (
        config(STOP),
        "a.yaml: trainer.callbacks.init_args.monitr: unknown key of EarlyStopping. Nearest: "
        "trainer.callbacks.init_args.monitor.",
    ),
    "class os.system": (
        config("model: {class_path: os.system}"),
        "a.yaml: model.class_path: expected the name of a class (RetrievalModule), found "
        "'os.system'.",
    ),
    "class of a callback": (
        config("trainer: {callbacks: [{class_path: EarlyStoping}]}"),
        "a.yaml: trainer.callbacks.class_path: expected the name of a class (Callback), found "
        "'EarlyStoping'. Nearest: EarlyStopping.",
    ),
    "empty extends": (
        config("extends:\ntrainer: {}"),
        "a.yaml: extends: expected the name of one file, found null.",
    ),
    "option nosuch": (
        args("--model.nosuch", "5"),
        "--model.nosuch: unknown option of ZeroShotPromptLearning.\n",
    ),
    "option of a part": (
        args("--model.n_prompts", "5"),
        f"--model.n_prompts: unknown option of ZeroShotPromptLearning. Nearest: --{PROMPTS}.",
    ),
    "option in a part": (
        args("--model.adaptation.n_promts", "5"),
        f"--model.adaptation.n_promts: unknown option of IndependentPrompts. Nearest: --{PROMPTS}.",
    ),
    "option elsewhere": (
        args("--model.batch_size=5"),
        "--model.batch_size: unknown option of ZeroShotPromptLearning. Nearest: --data.batch_size.",
    ),
    "option shortened": (
        args("--trainer.max_epoch", "5"),
        "--trainer.max_epoch: unknown option. Nearest: --trainer.max_epochs.",
    ),
    "option --seed": (
        args("--seed", "5"),
        "--seed: unknown option. Nearest: --seed_everything, --speed.",
    ),
    "a word": (args("stray"), "expected an option, --NAME VALUE, found 'stray'."),
    "no value": (args("--data.split"), "--data.split: expected a value, found none."),
    "trainer 5 typed": (args("--trainer", "5"), "--trainer: expected a mapping of settings or the"),
    "class EncodeMethod": (  # the abstract EncodedMethod is no advice
        args("--model", "EncodeMethod"),
        "--model: expected the name of a class (RetrievalModule), found 'EncodeMethod'.\n",
    ),
    "class DeepPromts": (
        args("--model.adaptation", "DeepPromts"),
        "--model.adaptation: expected the name of a class (Adaptation), found 'DeepPromts'. "
        "Nearest: DeepPrompts.",
    ),
    "no class": (args("--data", "null"), "--data: expected the name of a class, found none."),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_kinds_of_settings_are_one_line(name, run, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build, expected = NAMES[name]
    given = [part.removeprefix(f"{tmp_path}/") for part in build(tmp_path)]
    message = check(capfd, run, "fit", given, "")
    assert message.startswith(f"sketchclip: error: {expected}"), message
    assert len(message.splitlines()) <= 2
    # A later config or option hides nothing of it.
    if given[0] == "--config" and "expected a mapping" in expected:
        later = ["--config", str(tmp_path / "b.yaml"), "--trainer.max_epochs", "2"]
        (tmp_path / "b.yaml").write_text("trainer: {max_epochs: 1}")
        assert expected in check(capfd, run, "fit", [*given, *later], "")


def test_batch_size_must_be_a_multiple_of_the_processes(tree):
    data = SketchPhotoFolder(root=str(tree), split="random:2:0", batch_size=8, num_workers=0)
    data.trainer = SimpleNamespace(world_size=3, global_rank=0, lightning_module=None)
    with pytest.raises(SketchClipError, match=r"batch_size=8 .*multiple of their number, 3"):
        data.setup("fit")


def test_checkpoint_of_another_backbone(run, capfd, tmp_path, tiny_weights, make_clip):
    weights = tmp_path / "w.pt"
    shutil.copy(tiny_weights, weights)
    cli = run("fit", "--trainer.max_epochs", "1", "--model.pretrained", str(weights))
    checkpoint = ["--ckpt_path", f"{cli.trainer.log_dir}/checkpoints/last.ckpt"]
    capfd.readouterr()
    given = ["--model.backbone", "tiny-deep", "--model.pretrained", "random", *checkpoint]
    message = check(capfd, run, "test", given, "'tiny-deep'")
    assert re.search(r"'tiny'.*--config", message, re.DOTALL)
    # The same settings, but the file now holds other weights: its contents count.
    torch.save(make_clip("tiny", seed=1).state_dict(), weights)
    given = ["--model.pretrained", str(weights), *checkpoint]
    check(capfd, run, "test", given, r"of another backbone.*config\.yaml")


def test_checkpoint_of_another_method(run, capfd):
    cli = run("fit", "--trainer.max_epochs", "1")
    capfd.readouterr()
    given = ["--model", "FrozenCLIP", "--ckpt_path", f"{cli.trainer.log_dir}/checkpoints/last.ckpt"]
    check(capfd, run, "test", given, r"does not fit FrozenCLIP.*unexpected")
