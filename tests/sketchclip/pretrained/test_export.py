"""Exported models: complete, small, honest about their figures, silent about the machine."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from sketchclip import from_pretrained
from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.pretrained.card import model_card
from sketchclip.pretrained.export import destination
from sketchclip.pretrained.publishable import publishable, publishable_config
from tests.conftest import draw_tree
from tests.helpers.hub_server import serve


@pytest.fixture(scope="module")
def trained(tmp_path_factory, _one_thread, tiny_configs):
    """A tested run of the mini under a telling name, with a path wherever one may stand."""
    home = tmp_path_factory.mktemp("x") / "alice"
    root = draw_tree(home / "data", classes=6, sketches=2, photos=2)
    names = sorted(path.name for path in root.glob("photo/*"))
    (home / "unseen.txt").write_text("\n".join(names[:3]))
    weights = home / "mini.safetensors"
    from sketchclip.clip.mini import MINI_WEIGHTS

    weights.write_bytes(MINI_WEIGHTS.read_bytes())
    cli = main(
        [
            *("fit", "--model", "ZeroShotPromptLearning", "--model.backbone", "sketchclip-mini"),
            *("--model.pretrained", str(weights), "--model.lambda_cls", "0", "--model.ln_lr", ".1"),
            *("--data", "SketchPhotoFolder", "--data.root", str(root), "--data.batch_size", "4"),
            *("--data.split", str(home / "unseen.txt"), "--data.num_workers", "0"),
            *("--data.validation", "none", "--trainer.max_epochs", "1"),
            *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
            *("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", str(home / "runs")),
        ]
    )
    folder = Path(cli.trainer.log_dir)
    main(["test", "--ckpt_path", str(folder), "--data.num_workers", "0"])
    return folder


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    target = tmp_path_factory.mktemp("exports") / "my-model"
    main(["export", str(trained), "--to", str(target), "--license", "mit"])
    return target


def test_it_loads_by_one_call_and_embeds_alike(trained, exported):
    model, original = from_pretrained(str(exported)), from_pretrained(str(trained))
    assert model.model_hash == original.model_hash
    assert model.name == f"ZeroShotPromptLearning, {exported}"
    photos = sorted(trained.parents[2].glob("data/photo/*/*.png"))
    np.testing.assert_array_equal(model.photos(photos), original.photos(photos))
    frozen = from_pretrained("frozen", "sketchclip-mini")
    assert np.abs(frozen.photos(photos) - model.photos(photos)).max() > 1e-3


def test_it_holds_the_trained_tensors_and_nothing_of_the_optimiser(trained, exported):
    assert {path.name for path in exported.iterdir()} == {
        *("model.safetensors", "config.yaml", "config.json", "README.md")
    }
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    tensors = load_file(exported / "model.safetensors")
    assert tensors.keys() == checkpoint["state_dict"].keys()
    assert all(torch.equal(tensors[n], checkpoint["state_dict"][n]) for n in tensors)


def test_no_path_of_the_machine_is_published(trained, exported):
    home = trained.parents[2]
    assert "alice" in (trained / "config.yaml").read_text()  # the test can fail
    for file in exported.iterdir():
        content = file.read_bytes()
        assert b"alice" not in content, file.name
        assert str(home.parent).encode() not in content, file.name
        assert not re.search(rb"(/home/|/Users/|[A-Z]:\\\\)", content), file.name
    settings = yaml.safe_load((exported / "config.yaml").read_text())
    assert settings["data"]["init_args"]["split"] == "unseen.txt"
    assert settings["data"]["init_args"]["root"] is None
    assert settings["model"]["init_args"]["pretrained"] is None
    assert settings["model"]["init_args"]["backbone"] == "sketchclip-mini"
    assert settings["trainer"] == {"max_epochs": 1, "max_steps": -1, "precision": None}


def test_settings_lose_paths_and_keep_all_else():
    kept = {"split": "random:5:0", "sketch_files": "<class>/sketch/*", "text": "a photo of a {}"}
    kept |= {"class_path": "my.Thing", "pretrained": "laion2b_s34b_b79k", "lr": 1e-5, "n": None}
    assert publishable(kept) == kept
    windows, home = r"C:\Users\alice\v.txt", "~/alice/v.txt"
    assert publishable({"a": [windows, {"b": home}]}) == {"a": ["v.txt", {"b": "v.txt"}]}
    assert publishable({"root": "data", "prepared": "p"}) == {"root": None, "prepared": None}
    assert publishable({"pretrained": "/home/alice/ViT-B-32.pt"}) == {"pretrained": None}
    loggers = {"trainer": {"logger": {"init_args": {"save_dir": "/home/alice"}}, "max_epochs": 3}}
    assert publishable_config(loggers) == {"trainer": {"max_epochs": 3}}


def test_the_card_says_figures_with_their_protocol(trained, exported):
    card = ModelCard.load(exported / "README.md")
    result = json.loads((trained / "test" / "metrics.json").read_text())
    assert card.data.license == "mit"
    assert card.data.library_name == "sketchclip"
    assert card.data.base_model is None  # the mini is no repository of the hub
    entries = {entry.metric_type: entry for entry in card.data.eval_results}
    assert "mAP@all" in entries
    for name, entry in entries.items():
        assert entry.metric_value == round(result["metrics"][name], 4)
        interval = [round(bound, 4) for bound in result["interval_95"][name]]
        assert entry.metric_args == {"interval_95": interval}
        assert entry.dataset_name == "SketchPhotoFolder"
        assert entry.dataset_split == "unseen.txt"
        assert entry.dataset_args == {"protocol": result["protocol"], "seed": 0}
    low, high = result["interval_95"]["mAP@all"]
    value = result["metrics"]["mAP@all"]
    assert f"| mAP@all | {value:.4f} | {low:.4f} to {high:.4f} |" in card.text
    assert "3 classes that training has not seen" in card.text
    assert "## Limits" in card.text


def test_the_card_names_the_base_model_that_the_hub_knows(exported):
    about = json.loads((exported / "config.json").read_text())
    backbone = {"name": "ViT-B-32-quickgelu", "pretrained": "default", "hash": "0" * 16}
    card = model_card({**about, "backbone": backbone, "results": []}, "me/x", 84_480, "mit")
    assert card.data.base_model == "timm/vit_base_patch32_clip_224.openai"
    assert card.data.eval_results is None
    assert "84,480 trained parameters" in card.text
    assert "not tested" in card.text
    backbone["pretrained"] = None  # a file, whose path is not published
    card = model_card({**about, "backbone": backbone}, "me/x", 84_480, "mit")
    assert card.data.base_model is None


def test_the_card_s_snippet_runs(trained, exported, monkeypatch, tmp_path, capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.S)
    assert len([line for line in snippet.splitlines() if line]) == 5
    monkeypatch.chdir(tmp_path)
    (tmp_path / exported.name).symlink_to(exported)
    photos = sorted(trained.parents[2].glob("data/photo/*/*.png"))
    for name, source in zip(("sketch.png", "first.jpg", "second.jpg"), photos, strict=False):
        (tmp_path / name).write_bytes(source.read_bytes())
    capsys.readouterr()
    exec(compile(snippet, "README.md", "exec"), {})
    assert re.fullmatch(r"\[\[ ?-?[01]\.\d+ +-?[01]\.\d+\]\]", capsys.readouterr().out.strip())


def test_an_export_is_tested_like_a_run(trained, exported, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    home = trained.parents[2]
    data = ["--data.root", str(home / "data"), "--data.split", str(home / "unseen.txt")]
    main(["test", "--ckpt_path", str(exported), *data, "--data.num_workers", "0"])
    (found,) = tmp_path.rglob("metrics.json")
    expected = json.loads((trained / "test" / "metrics.json").read_text())["metrics"]
    assert json.loads(found.read_text())["metrics"] == pytest.approx(expected)


def test_a_frozen_model_is_exported_without_tensors(tmp_path):
    target = tmp_path / "frozen"
    main(["export", "frozen", "--backbone", "sketchclip-mini", "--to", str(target)])
    original = from_pretrained("frozen", "sketchclip-mini")
    photo = np.full((9, 9, 3), 200, np.uint8)
    found = from_pretrained(str(target))
    np.testing.assert_array_equal(found.photos([photo]), original.photos([photo]))
    assert load_file(target / "model.safetensors") == {}
    assert "Nothing is trained" in (target / "README.md").read_text()


def test_files_that_only_training_needs_change_nothing(run, tree, tiny_weights, tmp_path):
    words = tmp_path / "words.txt"
    names = {word for path in tree.glob("photo/*") for word in path.name.split()}
    words.write_text("".join(f"{word} {len(word)} 1 0\n" for word in names))
    head = ["--model.text_head", "WordVectors", "--model.text_head.path", str(words)]
    cli = run("fit", "--trainer.max_epochs", "1", "--data.validation", "none", *head)
    target = tmp_path / "exported"
    main(["export", cli.trainer.log_dir, "--to", str(target)])
    words.unlink()
    prints = {
        from_pretrained(place, pretrained=tiny_weights).model_hash
        for place in (target, cli.trainer.log_dir)
    }
    assert len(prints) == 1


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub's client with a hub on localhost; all else is real."""
    from huggingface_hub import constants

    with serve() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def test_it_goes_to_the_hub_and_comes_back(trained, exported, hub, capsys):
    main(["export", str(trained), "--to", "hf://owner/model", "--license", "mit", "--private"])
    assert "owner/model" in capsys.readouterr().out
    (created,) = hub.created
    assert (created["name"], created["organization"]) == ("model", "owner")
    assert created.get("private") is True or created.get("visibility") == "private"
    assert hub.files.keys() == {path.name for path in exported.iterdir()}
    assert b"alice" not in b"".join(hub.files.values())
    assert b'from_pretrained("owner/model")' in hub.files["README.md"]
    model = from_pretrained("hf://owner/model")
    assert model.model_hash == from_pretrained(str(trained)).model_hash
    assert model.about["results"][0]["metrics"]["mAP@all"] > 0


def test_a_hub_that_refuses_or_is_not_there(trained, hub, capsys):
    hub.refuses = True
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(trained), "--to", "hf://owner/model"])
    assert stopped.value.code == 2
    assert re.search(r"refuses hf://owner/model.*hf auth login", capsys.readouterr().err, re.S)
    hub.server_close()
    with pytest.raises(SystemExit):
        main(["export", str(trained), "--to", "hf://owner/model"])
    error = capsys.readouterr().err
    assert re.search(
        r"Cannot upload to hf://owner/model.*hf upload owner/model FOLDER", error, re.S
    )


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(exported, tmp_path, capsys):
    before = {path: path.read_bytes() for path in exported.iterdir()}
    for arguments, message in (
        (["frozen", "--to", str(exported)], "exists already"),
        (["nowhere", "--to", str(tmp_path / "new")], "model=nowhere does not exist"),
        (["frozen", "--to", "hf://noname"], r"expected hf://owner/name"),
        (["frozen", "--to", str(tmp_path / "new"), "--int8"], "give --onnx, too"),
        (
            ["frozen", "--to", str(tmp_path / "n"), "--onnx", "--queries", "0"],
            "expected at least 1",
        ),
        (["frozen"], "--to. See sketchclip export --help"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["export", *arguments])
        assert stopped.value.code == 2
        assert re.search(message, capsys.readouterr().err), message
    assert {path: path.read_bytes() for path in exported.iterdir()} == before
    assert not list(tmp_path.iterdir())


def test_what_a_killed_export_has_left_goes(tmp_path):
    for name in ("deep/first", "deep/second"):
        target = tmp_path / name
        left = target.with_name(f".{target.name}.partial")
        if name == "deep/second":
            (left / target.name).mkdir(parents=True)
            (left / target.name / "model.safetensors").write_text("half")
        with destination(str(target), private=True) as (folder, _):
            assert not list(folder.iterdir())
            busy = f"Another export is writing {target}"
            with (
                pytest.raises(SketchClipError, match=busy),
                destination(str(target), private=True),
            ):
                raise AssertionError("a second export may not begin")
            (folder / "config.json").write_text("{}")
        assert [path.name for path in target.iterdir()] == ["config.json"]
        assert not left.exists()
    with (
        pytest.raises(KeyboardInterrupt),
        destination(str(tmp_path / "new" / "model"), private=True),
    ):
        raise KeyboardInterrupt
    assert not (tmp_path / "new").exists()


def test_a_damaged_export_is_refused(exported, tmp_path):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SketchClipError, match=r"config\.json is damaged"):
        from_pretrained(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 64)
    with pytest.raises(SketchClipError, match="is no checkpoint of sketchclip"):
        from_pretrained(str(tmp_path))
