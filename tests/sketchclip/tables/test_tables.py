"""Tables of results: groups, means, notes and formats."""

import csv
import io
import json
import re
import shutil
import statistics
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from sketchclip.commands.table import run
from sketchclip.errors import SketchClipError
from sketchclip.runs.reading import find_runs
from sketchclip.tables import paper
from sketchclip.tables.build import build_tables
from sketchclip.tables.formats import ResultTable, comma_separated, hypertext, latex, markdown
from sketchclip.tables.measured import collect
from sketchclip.tables.paper import LATER, ROWS, Row

RESULT = {
    "dataset": "Doodles",
    "split": "doodles",
    "protocol": "full gallery, mAP@k strict",
    "queries": 1280,
    "gallery": 128,
    "backbone": {"name": "sketchclip-mini", "hash": "abc"},
    "partial": False,
}


def write(root: Path, cell: str, seed: int, metrics: dict[str, float], **changes: object) -> None:
    folder = root / cell / f"seed_{seed}"
    (folder / "test").mkdir(parents=True)
    done = {"run": cell, "seed": seed, "commit": "0123456789ab"}
    (folder / "run.json").write_text(json.dumps(done))
    result = {**RESULT, "metrics": metrics, **changes}
    (folder / "test" / "metrics.json").write_text(json.dumps(result))


@pytest.fixture
def runs(tmp_path):
    for seed, value in enumerate((0.30, 0.34, 0.35)):
        write(tmp_path, "ours", seed, {"mAP@all": value, "P@5": 0.2})
    write(tmp_path, "frozen", 0, {"mAP@all": 0.25, "P@5": 0.1})
    write(tmp_path, "without_cls", 0, {"mAP@all": 0.31, "P@5": 0.2})
    write(tmp_path, "my_idea", 0, {"mAP@all": 0.5, "P@5": 0.3})
    return tmp_path


def test_ids_are_unique_and_figures_are_fractions():
    assert len({row.id for row in (*ROWS, *LATER)}) == len(ROWS) + len(LATER)
    assert sum(row.group == "earlier" for row in ROWS) == 13
    assert sum(row.group == "baseline" for row in ROWS) == 12
    assert all(0 < value < 1 for row in (*ROWS, *LATER) for value in row.reported.values())
    assert all(row.source and row.reported and row.group == "later" for row in LATER)
    assert all(cell in row.reported for row in ROWS for cell in row.footnotes)
    assert {note for row in ROWS for note in row.footnotes.values()} == {*paper._NOTES.values()}


def test_systems_after_the_paper_share_no_column_of_two_definitions(tmp_path):
    metrics = {"mAP@200": 0.4, "mAP@200_voc": 0.5, "mAP@200_prefix": 0.6, "P@200": 0.3}
    for name in ("ours", "marl", "mcc_dino"):
        write(tmp_path, name, 0, metrics)
    (group,), _ = collect([tmp_path])
    _, table = build_tables(group)
    assert table.title.startswith("After the paper")
    cells = {
        row[0].partition(" [")[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows
    }
    voc, prefix, plain = (
        f"reported: Sketchy mAP@200{kind}" for kind in (" (voc)", " (prefix)", "")
    )
    assert [cells["MARL"][head] for head in (voc, prefix, plain)] == ["0.691", "-", "-"]
    mcc = cells["MCC (DINO and triplet)"]
    assert [mcc[head] for head in (voc, prefix, plain)] == ["-", "0.805", "-"]
    assert cells["SpLIP"][plain] == "0.764"
    assert cells["Ours"][plain].startswith("0.723")
    measured = ("mAP@200 (strict)", "mAP@200 (voc)", "mAP@200 (prefix)")
    assert [cells["MARL"][head] for head in measured] == ["0.400", "0.500", "0.600"]
    assert any("SpLIP's table" in note for note in table.notes)
    assert not any("TU-Berlin" in head or "Acc" in head for head in table.columns)


def test_means_and_deviations_over_seeds(runs):
    (group,), _ = collect([runs])
    values = (0.30, 0.34, 0.35)
    assert group.mean("ours", "mAP@all") == pytest.approx(statistics.mean(values))
    assert group.std("ours", "mAP@all") == pytest.approx(statistics.stdev(values))
    assert group.std("frozen", "mAP@all") is None
    main_table, ablations, others = build_tables(group)
    by_label = {row[0]: row for row in main_table.rows}
    at = main_table.columns.index("mAP@all")
    assert by_label["Ours"][at] == "0.330 ± 0.026"
    assert by_label["Ours"][-1] == "0, 1, 2"
    assert by_label["frozen"][at] == "0.250"
    assert by_label["B-IP"][at] == "-"
    assert len(by_label) == 19
    assert {row[0] for row in ablations.rows} >= {"Ours", "w/o L_cls", "frozen"}
    assert [row[0] for row in others.rows] == ["my_idea"]
    assert "0123456789ab" in main_table.caption


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "another gallery"},
        {"split": "other"},
        {"gallery": 127},
        {"backbone": {"name": "sketchclip-mini", "hash": "other"}},
    ],
    ids=str,
)
def test_other_protocols_never_share_a_table(runs, change):
    write(runs, "b_ip", 0, {"mAP@all": 0.9}, **change)
    groups, _ = collect([runs])
    assert len(groups) == 2
    assert sum("b_ip" in group.runs for group in groups) == 1


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"cross_dataset": True, "dataset": "TUBerlin"}, "Cross-dataset: TUBerlin"),
        ({"generalized": 0.2, "dataset": "Sketchy"}, "Generalised: Sketchy"),
    ],
)
def test_other_protocols_have_no_column_of_the_paper(tmp_path, change, title):
    metrics = {"mAP@all": 0.4, "P@100": 0.5}
    write(tmp_path, "ours", 0, metrics, **change)
    write(tmp_path, "frozen", 0, metrics, **change)
    (group,), _ = collect([tmp_path])
    (table,) = build_tables(group)
    assert table.title == title
    assert table.columns == ["", "mAP@all", "P@100", "seeds"]
    assert {row[0] for row in table.rows} == {"Ours", "frozen"}


def test_seen_queries_and_the_harmonic_mean_have_columns_of_their_own(tmp_path):
    metrics = {"mAP@all": 0.3, "seen_mAP@all": 0.6, "H_mAP@all": 0.4, "chance_seen_mAP@all": 0.1}
    write(tmp_path, "ours", 0, metrics, generalized=0.2, protocol="generalised; both")
    write(tmp_path, "b_ip", 0, {"mAP@all": 0.3}, generalized=0.2, protocol="generalised")
    found = [build_tables(group)[0] for group in collect([tmp_path])[0]]
    tables = {len(table.columns): table for table in found}
    assert tables[5].columns == ["", "unseen mAP@all", "seen mAP@all", "H mAP@all", "seeds"]
    assert tables[5].rows == [["Ours", "0.300", "0.600", "0.400", "0"]]
    assert tables[3].columns == ["", "mAP@all", "seeds"]


def test_part_of_the_data_is_no_row_of_the_paper(runs):
    write(runs, "b_ip", 0, {"mAP@all": 0.9}, train_fraction=0.1)
    (group,), _ = collect([runs])
    assert "b_ip" not in group.runs
    main_table, _, others = build_tables(group)
    assert {row[0]: row[-1] for row in main_table.rows}["B-IP"] == "-"  # no seed
    assert "b_ip, train_fraction=0.1" in {row[0] for row in others.rows}


def test_runs_of_one_name_and_other_settings_are_never_averaged(tmp_path):
    for grid, margin in (("a", 0.3), ("b", 0.7)):
        write(tmp_path / grid, "ours", 0, {"mAP@all": margin})
        settings = {"class_path": "x.Method", "init_args": {"margin": margin}}
        config = {"model": settings, "data": {"class_path": "x.Doodles"}}
        (tmp_path / grid / "ours" / "seed_0" / "test" / "config.yaml").write_text(
            yaml.safe_dump(config)
        )
    (group,), _ = collect([tmp_path])
    assert group.seeds == {"ours": [0], "ours, model.margin=0.7": [0]}


def test_earlier_systems_alone_make_the_main_table(tmp_path):
    write(tmp_path, "sake", 0, {"mAP@all": 0.4})
    write(tmp_path, "sake_untrained", 0, {"mAP@all": 0.3})
    (group,), _ = collect([tmp_path])
    main, runs = build_tables(group)
    at = main.columns.index("mAP@all")
    assert {row[0]: row[at] for row in main.rows}["ZS-SAKE"] == "0.400"
    assert [row[0] for row in runs.rows] == ["sake_untrained"]


def test_the_frozen_model_stands_in_a_table_without_rows_of_the_paper(tmp_path):
    write(tmp_path, "frozen", 0, {"mAP@all": 0.3})
    write(tmp_path, "my_idea", 0, {"mAP@all": 0.5})
    (group,), _ = collect([tmp_path])
    (table,) = build_tables(group)
    assert [row[0] for row in table.rows] == ["frozen", "my_idea"]
    assert "Columns headed paper" not in table.caption


def test_runs_on_ones_own_data_are_one_table_without_empty_rows(tmp_path):
    for name in ("frozen", "ours", "my_idea"):
        write(tmp_path, name, 0, {"mAP@all": 0.3}, dataset="SketchPhotoFolder")
    (group,), _ = collect([tmp_path])
    (table,) = build_tables(group)
    assert [row[0] for row in table.rows] == ["frozen", "my_idea", "Ours"]


def test_the_same_seed_counts_once(tmp_path):
    for grid in ("a", "b"):
        write(tmp_path / grid, "ours", 0, {"mAP@all": 0.5})
    (group,), left_out = collect([tmp_path])
    assert group.seeds == {"ours": [0]}
    assert "has another run of seed 0" in left_out[0]


def test_single_commands_make_a_row(tmp_path):
    folder = tmp_path / "doodles" / "version_1"
    (folder / "test").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed_everything": 3}))
    (folder / "metrics.csv").write_text("step,train/loss\n1,2\n")
    result = {**RESULT, "metrics": {"mAP@all": 0.4}, "seed": 3}
    (folder / "test" / "metrics.json").write_text(json.dumps(result))
    (folder / "test" / "environment.json").write_text(json.dumps({"commit": "fedcba"}))
    (group,), left_out = collect([tmp_path])
    assert (group.seeds, group.commits, left_out) == ({"doodles_version_1": [3]}, {"fedcba"}, [])
    environment = folder / "test" / "environment.json"
    for damaged in ("{", "[]"):  # results do not need it
        environment.write_text(damaged)
        (group,), (told,) = collect([tmp_path])
        assert group.commits == {"unknown"}
        assert told.startswith(f"{environment}: is damaged (")


def test_partial_and_missing_results_are_refused(tmp_path):
    with pytest.raises(SketchClipError, match="No run in"):
        collect([tmp_path])
    write(tmp_path, "ours", 0, {"mAP@all": 0.3}, partial=True)
    with pytest.raises(SketchClipError, match="part of the data"):
        collect([tmp_path])


def test_every_odd_figure_has_its_note(runs, capsys):
    (main_table, *_) = run([str(runs)])
    at = main_table.columns.index("paper: Sketchy mAP@200")
    gcn = next(row for row in main_table.rows if row[0].startswith("ZS-GCN"))
    number = int(gcn[at].rpartition("[")[2].rstrip("]"))
    assert "prefix" in main_table.notes[number - 1]
    assert "ZS-GCN" in capsys.readouterr().out


def write_queries(root: Path, cell: str, seed: int, values: np.ndarray, seconds: float) -> None:
    write(root, cell, seed, {"mAP@all": float(values.mean())})
    folder = root / cell / f"seed_{seed}"
    with (folder / "test" / "queries.csv").open("w", newline="") as file:
        rows = [[f"{i}.png", "cat", value] for i, value in enumerate(values)]
        csv.writer(file).writerows([["query", "class", "mAP@all"], *rows])
    (folder / "fit").mkdir()
    cost = {"trainable_parameters": 1234, "parameters": 9999, "batches": 3, "images": 9}
    cost |= {"seconds": seconds, "seconds_per_epoch": seconds, "images_per_second": 9 / seconds}
    cost |= {"peak_memory_bytes": 2**20 * 7, "processes": 1, "device": "CPU", "threads": 1}
    (folder / "fit" / "cost.json").write_text(json.dumps(cost))


def test_rows_in_order_are_tested_against_the_next(tmp_path, capsys):
    rng = np.random.default_rng(0)
    base = 0.2 + rng.random(200) * 0.5
    for seed in (0, 1):
        write_queries(tmp_path, "ours", seed, base + 0.1 + rng.normal(0, 0.01, 200), 2.0)
        write_queries(tmp_path, "b_ip", seed, base + rng.normal(0, 0.01, 200), 1.0 + seed)
    write_queries(tmp_path, "frozen", 0, base, 1.0)
    *_, order, cost = run([str(tmp_path), "--order", "--cost"])
    (group,), _ = collect([tmp_path])
    best, second, last = order.rows
    assert (best[0], {second[0], last[0]}) == ("Ours", {"B-IP", "frozen"})
    assert float(best[3]) == pytest.approx(0.1, abs=0.005)
    assert float(best[5]) == 1e-4
    assert float(second[5]) > 0.01  # B-IP and frozen differ by noise
    assert last[3:6] == ["-", "-", "-"]
    low, high = map(float, best[2].split(" to "))
    assert low < group.mean("ours", "mAP@all") < high
    by_label = {row[0]: row[1:] for row in cost.rows}
    assert by_label["B-IP"] == ["1,234", "3", "1.5", "6.75", "7"]
    assert "1 x CPU, 1 threads" in cost.caption
    assert "Order: Doodles" in capsys.readouterr().out


def test_rows_are_tested_against_one_row(tmp_path):
    rng = np.random.default_rng(0)
    base = 0.2 + rng.random(200) * 0.5
    write_queries(tmp_path, "ours", 0, base, 1.0)
    write_queries(tmp_path, "b_ip", 0, base - 0.1 + rng.normal(0, 0.01, 200), 1.0)
    write_queries(tmp_path, "frozen", 0, base + 0.1 + rng.normal(0, 0.01, 200), 1.0)
    for row in ("ours", "Ours", "OURS"):
        table = run([str(tmp_path), "--against", row])[-1]
        assert table.title == "Against Ours: Doodles"
        assert table.columns[3] == "above Ours by"
        assert [line[0] for line in table.rows] == ["frozen", "Ours", "B-IP"]
        assert [line[3][:4] for line in table.rows] == ["+0.1", "-", "-0.1"]
        assert [line[5] for line in table.rows] == ["0.0001", "-", "0.0001"]
    with pytest.raises(SketchClipError, match="expected one of b_ip, frozen, ours, found 'their"):
        run([str(tmp_path), "--against", "theirs"])


def test_an_order_needs_the_metric(tmp_path):
    write_queries(tmp_path, "ours", 0, np.linspace(0, 1, 5), 1.0)
    write_queries(tmp_path, "b_ip", 0, np.linspace(0, 1, 5), 1.0)
    file = tmp_path / "b_ip" / "seed_0" / "test" / "queries.csv"
    file.write_text(file.read_text().replace("mAP@all", "P@5"))
    with pytest.raises(SketchClipError, match=r"b_ip.*expected a column 'mAP@all'"):
        run([str(tmp_path), "--order"])


def test_an_order_needs_the_same_queries(tmp_path):
    write_queries(tmp_path, "ours", 0, np.linspace(0, 1, 5), 1.0)
    write_queries(tmp_path, "b_ip", 0, np.linspace(0, 1, 5), 1.0)
    file = tmp_path / "b_ip" / "seed_0" / "test" / "queries.csv"
    file.write_text(file.read_text().replace("3.png", "other.png"))
    with pytest.raises(SketchClipError, match="not on the same queries: other"):
        run([str(tmp_path), "--order"])


def test_a_score_of_pairs_stands_in_its_row_which_says_how_it_ranks(tmp_path):
    metrics = {"mAP@all": 0.4}
    write(tmp_path / "a", "ours", 0, metrics)
    write(tmp_path / "a", "zse_rn", 0, {"mAP@all": 0.1}, ranking="rn@1000")
    write(tmp_path / "a", "zse_rn", 1, {"mAP@all": 0.3}, ranking="rn@1000")
    (later,) = [t for t in run([str(tmp_path)]) if t.title.startswith("After")]
    cells = {row[0].split(" [")[0]: row for row in later.rows}
    assert cells["ZSE-RN, rn@1000"][-2:] == ["0.200 ± 0.141", "0, 1"]
    # Another length of the shortlist is another row, and so are vectors alone.
    write(tmp_path / "b", "zse_rn", 0, metrics, ranking="rn, all pairs scored")
    write(tmp_path / "c", "zse_rn", 0, metrics)
    (group,), _ = collect([tmp_path])
    names = {group.label(name): seeds for name, seeds in group.seeds.items()}
    assert names == {
        "Ours": [0],
        "ZSE-RN, rn@1000": [0, 1],
        "zse_rn, rn, all pairs scored": [0],
        "zse_rn, by vectors": [0],
    }


def test_formats_hold_the_same_cells():
    table = ResultTable(
        "A & B", ["", "x_1 | %"], [["<Ours>", "0.1 ± 0.2 [1]"]], ["50 % of #3"], "c"
    )
    assert list(csv.reader(io.StringIO(comma_separated(table)))) == [table.columns, *table.rows]
    assert re.search(r"\| <Ours> +\| +0\.1 ± 0\.2 \[1\] \|", markdown(table))
    assert "x_1 \\| %" in markdown(table)
    assert "[1] 50 % of #3" in markdown(table)
    tree = ElementTree.fromstring(hypertext(table))
    assert [cell.text for cell in tree.iter("td")] == table.rows[0]
    assert [note.text for note in tree.iter("li")] == table.notes
    tex = latex(table)
    assert r"A \& B" in tex
    assert r"0.1 $\pm$ 0.2 [1]" in tex
    assert r"50 \% of \#3" in tex
    assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}")


def test_cells_are_text_in_every_format():
    # Neither are numbers rounded or aligned by their points, nor is a dash or a mark taken for one.
    rows = [["a - b", "0.100", "-"], ["c", "1e3", "0, 1"], ["", "7", "0.10 [1]"]]
    table = ResultTable("T", ["", "x", "seeds"], rows, ["n"])
    lines = [line for line in markdown(table).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [cells[0], *cells[2:]] == [table.columns, *rows]
    body = latex(table).partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    found = [[c.strip() for c in line.split("&")] for line in body.strip().split(r"\\") if line]
    assert found == [["a - b", "0.100", "--"], ["c", "1e3", "0, 1"], ["", "7", "0.10 [1]"]]
    found = [cell.text or "" for cell in ElementTree.fromstring(hypertext(table)).iter("td")]
    assert found == [cell for row in rows for cell in row]


def test_fine_grained_rows_are_known_by_their_id():
    assert Row("b_fg_x", "", "baseline", "M", "c.yaml").fine_grained
    assert not Row("b_x", "", "baseline", "M", "c.yaml").fine_grained


def test_what_a_network_drive_keeps_of_a_run_is_no_run(tmp_path):
    write(tmp_path, "ours", 0, {"mAP@all": 0.3})
    shutil.copytree(tmp_path / "ours", tmp_path / "@eaDir" / "ours")
    found, left_out = find_runs([tmp_path])
    assert len(found) == 1
    assert not left_out
