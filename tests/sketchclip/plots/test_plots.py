"""Figures of runs as they lie on disk, with synthetic figures in place of trainings."""

import csv
import json
import re
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from sketchclip.cli import main
from sketchclip.errors import SketchClipError
from sketchclip.plots.classes import plot_classes
from sketchclip.plots.cost import plot_cost
from sketchclip.plots.curves import CURVES, series_of
from sketchclip.plots.embedding import plot_map
from sketchclip.plots.style import COLOURS, SMALL, look, styled
from sketchclip.plots.training import plot_training
from sketchclip.runs.reading import find_runs

CLASSES = [f"class {number} with rather a long name" for number in range(6)]


def write_run(output, cell, seed, metric=0.5, classes=CLASSES, model=None, data=None, **summary):
    """A run as ``sketchclip ablate`` leaves it."""
    folder = output / cell / f"seed_{seed}"
    rng = np.random.default_rng(seed)
    for part in ("fit", "test"):
        (folder / part).mkdir(parents=True)
    (folder / "log.txt").touch()
    (folder / "run.json").write_text(json.dumps({"run": cell, "seed": seed}))
    init = {"lambda_cls": 0.5, "adaptation": {"class_path": "a.b.CommonPrompts"}} | (model or {})
    config = {
        "seed_everything": seed,
        "trainer": {"max_epochs": 2, "logger": {"init_args": {"save_dir": str(folder)}}},
        "model": {"class_path": "x.ZeroShotPromptLearning", "init_args": init},
        "data": {
            "class_path": "x.Doodles",
            "init_args": {"root": None, "seed": seed} | (data or {}),
        },
    }
    (folder / "fit" / "config.yaml").write_text(yaml.safe_dump(config))
    values = {name: np.clip(rng.normal(metric, 0.2, 5), 0, 1) for name in classes}
    mean = float(np.mean([*values.values()]))
    told = {
        "metrics": {"mAP@all": mean, "chance_mAP@all": 0.05},
        "interval_95": {"mAP@all": [mean - 0.03, mean + 0.03]},
        "method": "ZeroShotPromptLearning",
        "backbone": {"name": "sketchclip-mini", "hash": "0"},
        "dataset": "Doodles",
        "split": "doodles",
        "protocol": "gallery: renders, mAP@k strict",
        "queries": 5 * len(classes),
        "gallery": 12,
        "unseen_classes": classes,
        "training_classes": 20,
        "seed": seed,
    }
    (folder / "test" / "metrics.json").write_text(json.dumps(told | summary))
    with (folder / "test" / "queries.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "class", "mAP@all"])
        for name, own in values.items():
            writer.writerows([[f"{name}/{i}.png", name, v] for i, v in enumerate(own)])
    with (folder / "fit" / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "train/cls_sketch", "train/loss", "val/mAP@all"])
        for step in range(0, 200, 10):
            writer.writerow([0, step, 2 + rng.random(), 3 * 0.99**step + 0.3 * rng.random(), ""])
        writer.writerows([[0, 99, "", "", 0.4], [1, 199, "", "", 0.5]])
    return folder


def plot(*args):
    return {path.name for path in main(["plot", *map(str, args)])}


@pytest.fixture
def grid(tmp_path):
    """Every setting varied, two seeds each."""
    output = tmp_path / "runs"
    for seed in (0, 1):
        for fraction in (0.1, 0.5):
            subset = {"train_fraction": fraction}
            write_run(output, f"f{fraction}", seed, 0.4 + fraction / 5, data=subset, **subset)
        write_run(output, "full", seed, 0.55, data={"train_fraction": 1.0})
        for count in (5, 10):
            data = {"seen_classes": count, "train_fraction": 1.0}
            write_run(output, f"c{count}", seed, 0.5, data=data, training_classes=count)
        for count in (1, 3):
            model = {"adaptation": {"class_path": "P", "init_args": {"n_prompts": count}}}
            write_run(output, f"k{count}", seed, model=model)
            write_run(output, f"n{count}", seed, model={"patches": count})
    return output


def write_embeddings(run, classes=CLASSES):
    """Embeddings as ``sketchclip predict`` leaves them."""
    (run / "embeddings").mkdir()
    for side, count in (("sketch", 30), ("photo", 12)):
        np.savez(
            run / "embeddings" / f"{side}.npz",
            state=np.random.default_rng(0).normal(size=(count, 8)),
            label=np.arange(count) % len(classes),
            index=np.arange(count),
            class_names=np.array(classes),
        )


def write_losses(run, columns):
    """metrics.csv with a row for each step and metric."""
    with (run / "fit" / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", *columns])
        writer.writeheader()
        for name, values in columns.items():
            writer.writerows({"step": step, name: value} for step, value in values.items())


def plotted(plot, runs, *args):
    """The figure of the runs in a folder."""
    with styled():
        return plot(find_runs([runs])[0], *args)


def texts(figure):
    """Every text of a figure, whether in axes, legend or caption."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def test_every_figure_that_runs_allow(grid, tmp_path, capsys):
    write_embeddings(grid / "k1" / "seed_0")
    out = tmp_path / "figures"
    curves = "fraction,classes,prompts,patches,map"
    drawn = plot(grid, "-o", out, "--formats", "png", "--figures", curves)
    drawn |= plot(grid / "full", "-o", out, "--formats", "png", "--figures", "bars,training")
    kinds = ("fraction_Doodles", "classes_Doodles", "prompts_Doodles", "patches_Doodles", "map_k1")
    assert {f"{kind}.png" for kind in kinds} <= drawn
    assert {"bars_full.png", "training_full.png"} <= drawn
    assert all(np.asarray(Image.open(out / name).convert("L")).std() > 5 for name in drawn)
    assert "Left out" not in capsys.readouterr().out


def test_a_point_is_the_mean_over_seeds_and_the_text_says_how_it_was_measured(grid, tmp_path):
    plot(grid, "-o", tmp_path, "--formats", "svg", "--figures", "fraction")
    text = " ".join(
        re.findall(
            r"<text[^>]*>(?:<tspan[^>]*>)?([^<]*)", (tmp_path / "fraction_Doodles.svg").read_text()
        )
    )
    for part in ("training data (%)", "mAP@all (%)", "hance", "Seeds 0, 1", "6 unseen", "renders"):
        assert part in text, part
    points = next(iter(series_of(find_runs([grid])[0], CURVES["fraction"]).values()))
    assert {x: len(runs) for x, runs in points.items()} == {10: 2, 50: 2, 100: 2}


def test_protocols_and_backbones_never_share_an_axis(tmp_path):
    runs = tmp_path / "runs"
    for name, own in {
        "a": {},
        "b": {"protocol": "other"},
        "c": {"backbone": {"name": "x"}},
    }.items():
        for part in (0.1, 0.2):
            subset = {"train_fraction": part}
            write_run(runs / name, f"f{part}", 0, data=subset, **subset, **own)
    drawn = plot(runs, "-o", tmp_path / "f", "--figures", "fraction", "--formats", "png")
    assert drawn == {f"fraction_Doodles{more}.png" for more in ("", "_2", "_3")}


def test_runs_that_differ_otherwise_are_no_curve(tmp_path, capsys):
    for part in (0.1, 0.2):
        subset = {"train_fraction": part}
        write_run(tmp_path, f"f{part}", 0, data=subset, model={"lambda_cls": part}, **subset)
    unfinished = write_run(tmp_path, "broken", 0)
    (unfinished / "run.json").unlink()
    with pytest.raises(SystemExit):
        main(["plot", str(tmp_path), "-o", str(tmp_path / "f"), "--figures", "fraction"])
    told = capsys.readouterr()
    assert "no two tested runs differ in data.train_fraction and seed alone" in told.out
    assert "failed or still running" in told.out
    assert "runs allow none of these figures" in told.err


def test_many_classes_with_long_names_fit(tmp_path):
    classes = [f"a_name_{number:03d}_" + "so_long" * 8 for number in range(125)]
    write_run(tmp_path / "runs", "ours", 0, classes=classes)
    plot(tmp_path / "runs", "-o", tmp_path, "--figures", "bars", "--formats", "png")
    with Image.open(tmp_path / "bars_ours.png") as image:
        assert image.height / 300 > 63 * 0.14  # inches: room for every name
        edge = np.asarray(image.convert("L"))[:, :3]
    assert edge.min() == 255  # nothing is cut off


def test_a_loss_of_one_term_has_one_panel(tmp_path):
    loss = {9: 0.3, 19: 0.2, 29: 0.1}
    run = write_run(tmp_path, "ours", 0)
    write_losses(run, {"train/loss": loss, "train/triplet": loss, "val/mAP@all": {29: 0.597}})
    figure = plotted(plot_training, tmp_path)
    assert [axes.get_title() for axes in figure.axes] == ["loss: triplet", "validation mAP@all (%)"]
    (curve,), (point,) = (axes.lines for axes in figure.axes)
    assert curve.get_xydata().tolist() == [[9, 0.3], [19, 0.2], [29, 0.1]]
    assert point.get_marker() == "o"  # a line of one point would be invisible
    assert [text.get_text() for text in figure.axes[1].texts] == ["59.7"]
    assert not figure.axes[0].texts

    write_losses(run, {"train/loss": loss, "train/triplet": {**loss, 29: 0.09}})
    figure = plotted(plot_training, tmp_path)
    assert [axes.get_title() for axes in figure.axes] == ["total loss", "triplet"]


def test_lone_points_of_several_seeds_have_their_mean_beside_them(tmp_path):
    for seed, value in ((0, 0.4), (1, 0.6)):
        loss = {1: value, 3: value}
        columns = {"train/loss": loss, "train/triplet": loss, "val/mAP@all": {3: value}}
        write_losses(write_run(tmp_path, "ours", seed), columns)
    figure = plotted(plot_training, tmp_path)
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.axes[1].texts] == ["mean 50"]


def test_classes_of_a_map_differ_in_colour_or_marker(tmp_path):
    classes = [f"class_{number}" for number in range(14)]
    run = write_run(tmp_path, "ours", 0, classes=classes)
    write_embeddings(run, classes)
    (found,) = find_runs([tmp_path])[0]
    named = [*classes[:11], "class 11"]  # written either way
    with styled():
        figure = plot_map(found, named=named)
    handles = figure.legends[0].legend_handles
    looks = [(handle.get_markerfacecolor(), handle.get_marker()) for handle in handles]
    assert len({*looks}) == len(looks) == 2 + 12 + 1
    (open_, filled, *_, others), names = looks, [h.get_label() for h in handles]
    assert (open_[0], filled[0] == "none") == ("none", False)
    assert names[2:] == [*(f"class {n}" for n in range(12)), "2 other classes"]
    assert others[0] not in COLOURS
    for bad, message in ((["x"], "expected some of"), (classes, "at most 12")):
        with pytest.raises(SketchClipError, match=message):
            plot_map(found, named=bad)


def test_colours_are_readable_on_white_and_looks_differ():
    from matplotlib.colors import to_rgb

    assert len({look(number) for number in range(24)}) == 24
    for colour in COLOURS:  # relative luminance, as the web's guidelines define it
        rgb = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        assert np.dot(rgb, [0.2126, 0.7152, 0.0722]) < 0.5, colour


@pytest.mark.parametrize("plot", [plot_training, plot_map, plot_classes])
def test_texts_are_inside_the_figure_large_enough_and_without_underscores(plot, tmp_path):
    classes = [f"a_name_{number}_" + "rather_long_" * 3 for number in range(40)]
    write_embeddings(write_run(tmp_path, "ours", 0, classes=classes), classes)
    if plot is plot_map:
        with styled():
            figure = plot(find_runs([tmp_path])[0][0])
    else:
        figure = plotted(plot, tmp_path, *(["mAP@all"] if plot is plot_classes else []))
    found = texts(figure)
    assert len(found) > 5
    for text in found:
        assert text.get_fontsize() >= SMALL, text
        assert "a_name" not in text.get_text()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()  # of all that is drawn, in inches
    assert min(box.x0, box.y0) >= 0
    assert (box.x1 <= width, box.y1 <= height) == (True, True)


BAD = {
    "no folder": (["nowhere"], "is no folder"),
    "no runs": (["."], "No run in"),
    "unknown figure": ([".", "--figures", "pie"], "expected some of fraction"),
    "unknown format": ([".", "--formats", "bmp"], "expected some of png"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args, message = BAD[case]
    with pytest.raises(SystemExit) as stopped:
        main(["plot", *args])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_matplotlib_the_command_to_type_is_named(grid, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit):
        main(["plot", str(grid)])
    assert "pip install 'sketchclip[plot]'" in capsys.readouterr().err


def test_cost_is_plotted_for_rows_of_one_protocol(tmp_path, capsys):
    for number, cell in enumerate(("ours", "b_ip", "sake")):
        for seed in (0, 1):
            write_run(tmp_path / "runs", cell, seed, metric=0.3 + 0.1 * number)
            cost = {"seconds": 10.0**number + seed, "trainable_parameters": 100 * 7**number}
            folder = tmp_path / "runs" / cell / f"seed_{seed}" / "fit"
            (folder / "cost.json").write_text(json.dumps(cost))
    write_run(tmp_path / "runs", "frozen", 0, metric=0.25, method="FrozenEncoder")
    write_run(tmp_path / "runs", "other_ranking", 0, metric=0.1)  # of a training that is there
    runs = find_runs([tmp_path / "runs"])[0]
    (frozen,) = [run for run in runs if run.name == "frozen"]
    labels = {"ours": ("Ours", "ours"), "sake": ("ZS-SAKE", "earlier")}
    figure = plot_cost(runs, "mAP@all", labels)
    for axes, expected in zip(figure.axes, ([1.5, 10.5, 100.5], [100, 700, 4900]), strict=True):
        points = [line for line in axes.lines if len(line.get_xdata()) == 1]
        assert sorted(line.get_xdata()[0] for line in points) == pytest.approx(expected)
        assert {text.get_text() for text in axes.texts} == {"Ours", "ZS-SAKE", "b_ip"}
        (line,) = [line for line in axes.lines if line.get_label() == "frozen"]
        assert line.get_ydata()[0] == pytest.approx(100 * frozen.summary["metrics"]["mAP@all"])
        boxes = [text.get_window_extent() for text in texts(axes.figure) if text in axes.texts]
        low, *above = sorted(boxes, key=lambda box: box.y0)
        for high in above:
            assert low.y1 <= high.y0  # no label on another
            low = high
    plot(tmp_path / "runs", "-o", tmp_path, "--figures", "cost", "--formats", "png")
    assert (tmp_path / "cost_Doodles.png").is_file()
    assert plot_cost(runs[:2], "mAP@all", labels) is None
