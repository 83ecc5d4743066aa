"""``sketchclip list``: every name is one that commands take, with what is known of it."""

import inspect
import json
import re
from pathlib import Path

import open_clip
import pytest

import data_modules
from sketchclip import methods
from sketchclip.cli import main
from sketchclip.commands.listed.folders import runs
from sketchclip.config import experiment_folders, find_config


@pytest.mark.parametrize(("kind", "package"), [("methods", methods), ("datasets", data_modules)])
def test_classes_are_those_of_the_package(kind, package):
    found = {entry["name"]: entry["about"] for entry in main(["list", kind])}
    classes = {name: getattr(package, name) for name in package.__all__}
    usable = {name for name, one in classes.items() if not inspect.isabstract(one)}
    assert found.keys() == usable - {"SketchPhotoDataModule"}
    for name, about in found.items():
        assert about == inspect.getdoc(classes[name]).partition("\n")[0].replace("``", "")


def test_methods_have_the_values_of_their_rows(capsys):
    found = {entry["name"]: entry for entry in main(["list", "methods"])}
    assert found["SAKE"]["reported"]["Sketchy mAP@200"] == 0.497
    assert found["ZeroShotPromptLearning"]["config"] == "experiments/sketchy.yaml"
    (line,) = (one for one in capsys.readouterr().out.splitlines() if one.startswith("SAKE "))
    assert "[reported: Sketchy mAP@200 0.497, " in line


def test_backbones_are_those_of_open_clip_with_their_weights():
    mini, *found = main(["list", "backbones"])
    assert mini["name"] == "sketchclip-mini"
    names = {entry["name"] for entry in found}
    assert {"ViT-B-32-quickgelu", "ViT-B-16", "ViT-L-14-336-quickgelu"} <= names
    assert names.isdisjoint({"RN50", "ViT-B-16-SigLIP", "coca_ViT-B-32", "EVA02-B-16"})
    for entry in found:
        tags = open_clip.list_pretrained_tags_by_model(entry["name"])
        assert sorted(entry["weights"]) == sorted(tags)
        assert (
            f"width {open_clip.get_model_config(entry['name'])['vision_cfg']['width']}"
            in (entry["about"])
        )


def test_experiments_are_the_shipped_files():
    found = main(["list", "experiments"])
    (folder,) = experiment_folders()
    paths = {find_config(entry["name"]).resolve() for entry in found}
    assert paths == {path.resolve() for path in folder.rglob("*.yaml")}
    uses = {entry["name"]: entry["for"] for entry in found}
    assert uses["experiments/sketchy.yaml"] == "fit"
    assert uses["experiments/main/category.yaml"] == "ablate"
    assert uses["experiments/sweeps/prompts.yaml"] == "wandb sweep"
    assert all(entry["about"] for entry in found)
    assert not [entry for entry in found if re.search("[:;,]$|^The same", entry["about"])]


@pytest.mark.parametrize("columns", [60, 100])
def test_lines_end_between_words_in_a_terminal(monkeypatch, capsys, columns):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    found = main(["list", "datasets"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) > len(found)
    words = " ".join(lines).split()
    assert words == " ".join(f"{entry['name']} {entry['about']}" for entry in found).split()


def test_embeddings_of_a_run_are_no_run(tmp_path):
    version = tmp_path / "own" / "version_0"
    for folder in (version, version / "predict"):
        (folder / "embeddings").mkdir(parents=True)
        (folder / "config.yaml").write_text("seed_everything: 0\n")
        (folder / "metrics.csv").write_text("step,loss\n1,2.0\n")
    assert [entry["name"] for entry in runs(tmp_path)] == [str(version)]


def test_runs_have_the_metric_of_their_test(run, tmp_path, capsys):
    cli = run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0")
    folder = Path(cli.trainer.log_dir)
    run("test", "--ckpt_path", str(folder))
    summary = json.loads((folder / "test" / "metrics.json").read_text())
    run("fit", "--trainer.max_epochs", "1", "--grids.queries", "0")
    capsys.readouterr()
    entries = main(["list", "runs", "--root", str(tmp_path / "runs"), "--json"])
    assert json.loads(capsys.readouterr().out) == entries
    tested, untested = sorted(entries, key=lambda entry: entry["name"])
    assert tested["name"] == str(folder)
    assert tested["method"] == untested["method"] == "ZeroShotPromptLearning"
    assert tested["metric"] == "mAP@all"
    assert tested["value"] == summary["metrics"]["mAP@all"]
    assert tested["dataset"] == untested["dataset"] == "SketchPhotoFolder"
    assert tested["split"] == untested["split"] == "random:2:0"
    assert untested["value"] is None
    main(["list", "runs", "--root", str(tmp_path / "runs"), "--names"])
    assert {*capsys.readouterr().out.splitlines()} == {tested["name"], untested["name"]}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["runs", "--root", "nowhere"], "--root nowhere does not exist"),
        (["methods", "--root", "."], "--root is the folder of runs, found with 'methods'."),
        (["figures"], "kind: expected one of methods, datasets, backbones, "),
        (["method"], "found 'method'. Nearest: methods."),
        ([], "kind: expected one of methods, datasets, backbones, runs, experiments, found none"),
    ],
)
def test_what_cannot_be_listed_is_one_message(args, told, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["list", *args])
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_no_run_yet_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["list", "runs"]) == []
    assert "sketchclip fit --config" in capsys.readouterr().out
