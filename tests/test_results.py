"""Published figures: every one of a packaged table, every table from its files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgewise.config import to_dict
from edgewise.evaluation.protocols import recorded_protocol
from edgewise.evaluation.report import load_report
from edgewise.experiments.grid import ExperimentCell, Layout, ResultKey, find_cells
from edgewise.experiments.results import EVALUATION, STATISTICS, VECTORS, described, recorded_config
from edgewise.files import file_checksum
from edgewise.models.registry import DEFAULT_METHOD, find_method
from edgewise.runs.run import split_values
from edgewise.runs.user_figures import user_figures_file

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
CELLS = {cell.key.path: cell for cell in find_cells(Layout(), ["."])}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def asked_by(result: Path) -> ExperimentCell:
    """The cell of a packaged table that a result belongs to."""
    key = replace(ResultKey.of(result.relative_to(RESULTS)), raw_lists=False)
    assert key.path in CELLS, f"{named(result)}: no table of edgewise.experiments asks for it"
    return CELLS[key.path]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


ALL_RESULTS = sorted(RESULTS.rglob("*.json"))
EVALUATIONS = [path for path in ALL_RESULTS if read(path).get("kind") == EVALUATION]
DESCRIPTIONS = [path for path in ALL_RESULTS if read(path).get("kind") in (STATISTICS, VECTORS)]
OTHERS = [path for path in ALL_RESULTS if path not in [*EVALUATIONS, *DESCRIPTIONS]]


WRITE_TABLES = ROOT / "docs" / "write_tables.py"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``docs/write_tables.py``."""
    spec = importlib.util.spec_from_file_location("write_tables", WRITE_TABLES)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EVALUATIONS, ids=named)
def test_a_result_belongs_to_a_committed_configuration(path: Path) -> None:
    run, cell = read(path)["run"], asked_by(path)
    assert recorded_protocol(run.get("protocol")).name == cell.key.protocol
    method = find_method(run.get("method", DEFAULT_METHOD))
    assert method.name == cell.method
    fitted = recorded_config(method.config_class, run["config"])
    changed = f"the row of {named(path)} or its preset has changed: run it again"
    assert to_dict(fitted) == to_dict(cell.settings), changed
    assert run["seed"] == cell.settings.seed and run["status"] == "finished"
    kind, seed = cell.split
    assert run["split"] == split_values(kind, seed, cell.options.cold_items)
    assert run["data"]["name"] == path.parent.name and len(run["data"]["checksum"]) == 64
    assert run["machine"]["processor"] and run["machine"]["cores"] >= 1
    assert {"python", "torch", "transformers"} <= run["versions"].keys()
    # Code that was not installed when it ran is known by its commit.
    assert {"edgewise", "commit"} & run["versions"].keys()


@pytest.mark.parametrize("path", EVALUATIONS, ids=named)
def test_a_result_stands_beside_a_baseline_under_the_same_conditions(path: Path) -> None:
    results, run = read(path)["results"], read(path)["run"]
    assert results
    for task, systems in results.items():
        assert list(systems) == [
            find_method(run.get("method", DEFAULT_METHOD)).label,
            "Most frequent text" if task == "explanation" else "Popularity",
        ]
        ours, baseline = systems.values()
        assert ours["settings"] == baseline["settings"]
        assert ours["settings"]["part"] == "test"
        for estimate in ours["metrics"].values():
            assert estimate["low"] is None or estimate["low"] <= estimate["mean"]
            assert estimate["high"] is None or estimate["mean"] <= estimate["high"]


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=named)
def test_a_description_belongs_to_a_committed_configuration(path: Path) -> None:
    result, cell = read(path), asked_by(path)
    assert result["recipe"] == described(cell)
    assert result["data"]["name"] == path.parent.name and len(result["data"]["checksum"]) == 64
    assert result["machine"]["processor"] and result["versions"]["python"]


@pytest.mark.parametrize("path", [*EVALUATIONS, *DESCRIPTIONS], ids=named)
def test_a_result_was_not_changed_by_hand(path: Path) -> None:
    load_report(path, allow_unsealed=True)


@pytest.mark.parametrize("path", OTHERS, ids=named)
def test_other_measurements_name_machine_and_versions(path: Path) -> None:
    result = read(path)
    assert result["machine"]["processor"] and result["versions"]["torch"]
    if "bench" not in path.parts:
        assert result["config"]["seed"] == result["seed"]


@pytest.mark.parametrize("path", ALL_RESULTS, ids=named)
def test_a_result_names_no_folder_of_one_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert '"/' not in text and " /" not in text, "run edgewise reproduce, which names none"


def test_users_figures_are_those_of_the_result_beside_them() -> None:
    told = {
        user_figures_file(path): digest
        for path in EVALUATIONS
        if (digest := read(path).get("users_sha256")) is not None
    }
    assert {file: file_checksum(file) for file in RESULTS.rglob("*.users.npz")} == told


def test_the_tables_are_up_to_date() -> None:
    command = [sys.executable, WRITE_TABLES, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def estimate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def report(hits: float, users: int) -> dict[str, Any]:
    names = ("HitRate@5", "NDCG@5", "HitRate@10", "NDCG@10")
    return {"num_users": users, "metrics": {name: estimate(hits) for name in names}}


def write_result(folder: Path, name: str, ours: float, users: int) -> None:
    run = {"training_seconds": 125, "config": {"training": {"epochs": 5}}}
    systems = {"ELMRec": report(ours, users), "Popularity": report(0.25, users)}
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"run": run, "results": {"direct": systems}}))


def test_a_table_row_by_row(tables: ModuleType, tmp_path: Path) -> None:
    write_result(tmp_path, "direct/beauty/random", 0.5, 10_000)
    rows = tables.TABLES["direct-beauty"](tables.Results(tmp_path))
    assert rows[1] == ["none", "not run"]
    interval = "0.5000 (0.4900 to 0.5100)"
    assert rows[2] == [
        "random",
        "0.5000",
        "0.5000",
        interval,
        "0.5000",
        "≤ 5",
        "125",
        "-",
        "10,000",
    ]
    interval = "0.2500 (0.2400 to 0.2600)"
    assert rows[-1] == ["popularity", "0.2500", "0.2500", interval, "0.2500", "", "", "-", "10,000"]


def test_missing_results_give_rows_instead_of_errors(tables: ModuleType, tmp_path: Path) -> None:
    for name, table in tables.TABLES.items():
        rows = table(tables.Results(tmp_path))
        assert "not run" in rows[1], name
        assert len(tables.markdown(rows).splitlines()) == len(rows) + 1


def test_only_what_stands_between_the_marks_is_written(tables: ModuleType, tmp_path: Path) -> None:
    page = "Before.\n\n<!-- table: two-processes -->\nold\n<!-- end -->\n\nAfter.\n"
    new = tables.filled(page, tables.Results(tmp_path))
    assert new.startswith("Before.\n\n<!-- table: two-processes -->\n")
    assert new.endswith("\n<!-- end -->\n\nAfter.\n")
    assert "old" not in new and "| loss | one process | two processes |" in new
    assert tables.filled(new, tables.Results(tmp_path)) == new


def test_a_table_that_does_not_exist_is_refused(tables: ModuleType, tmp_path: Path) -> None:
    page = "<!-- table: nothing -->\n<!-- end -->"
    with pytest.raises(SystemExit, match="there is no table 'nothing'"):
        tables.filled(page, tables.Results(tmp_path))


def test_a_result_that_no_table_shows_is_noticed(tables: ModuleType, tmp_path: Path) -> None:
    write_result(tmp_path, "direct/beauty/random", 0.5, 10)
    write_result(tmp_path, "direct/beauty/forgotten", 0.5, 10)
    results = tables.Results(tmp_path)
    for table in tables.TABLES.values():
        table(results)
    assert results.unasked() == ["direct/beauty/forgotten.json"]


def write_seed(folder: Path, name: str, ours: float, seconds: float) -> None:
    """A run of two stages, of which popularity finds 0.05."""

    def recall(value: float) -> dict[str, Any]:
        return {"num_users": 1234, "metrics": {"Recall@20": {"mean": value, "low": 0, "high": 1}}}

    training = {stage: {"epochs": count} for stage, count in {"content": 3, "events": 10}.items()}
    config = {"stages": ["content", "events"], "training": training}
    systems = {"Graph-attentive GPT-2": recall(ours), "Popularity": recall(0.05)}
    result = {
        "run": {"training_seconds": seconds, "config": config},
        "learning": {"content": {"epochs": 3}, "events": {"epochs": 7}},
        "results": {"sequential": systems},
    }
    path = folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def test_rows_of_several_seeds_are_means_with_deviations(
    tables: ModuleType, tmp_path: Path
) -> None:
    for seed, (value, minutes) in {0: (0.1, 2), 1: (0.2, 3), 10: (0.3, 4)}.items():
        write_seed(tmp_path, f"ablation/gifts/full-seed{seed}", value, 60 * minutes)
    write_seed(tmp_path, "ablation/gifts/full-seedless", 0.9, 60)
    write_seed(tmp_path, "ablation/gifts/single", 0.25, 60)
    results = tables.Results(tmp_path)
    names = {name: f"ablation/gifts/{name}" for name in ("full", "single", "missing")}
    rows = tables.variants(results, names, ["Recall@20"])
    assert rows == [
        ["variant", "Recall@20", "seeds", "epochs", "training, s", "users/s", "users"],
        ["full", "0.2000 ± 0.1000", "3", "3 + 7", "180", "-", "1,234"],
        ["single", "0.2500", "1", "3 + 7", "60", "-", "1,234"],
        ["missing", "not run"],
        ["popularity", "0.0500", "", "", "", "-", "1,234"],
    ]
    assert results.unasked() == ["ablation/gifts/full-seedless.json"]
    nothing = tables.variants(tables.Results(tmp_path / "none"), names, ["Recall@20"])
    assert [row[1] for row in nothing[1:]] == ["not run"] * 4


def test_a_table_of_a_paper_shows_what_was_measured(tables: ModuleType, tmp_path: Path) -> None:
    assert tables.is_paper_table("elmrec/table-4") and not tables.is_paper_table("direct-beauty")
    results = tables.Results(tmp_path)
    assert tables.paper_table("elmrec/table-4", results) == "not run" and results.asked == set()


def test_parts_of_a_benchmark_have_the_cells_that_they_know(
    tables: ModuleType, tmp_path: Path
) -> None:
    parts = {"a 21": "{size} nodes|21", "b 21": "lost|21"}
    columns = {"ms": "batch_{}_seconds:ms.1f", "speed": "slow:.1f fast:.2f", "none": "none:"}
    (tmp_path / "x.json").write_text('{"a": {"size": 5, "batch_21_seconds": 0.0123, "fast": 2}}')
    assert tables.Bench("x", "what|width", parts, columns)(tables.Results(tmp_path)) == [
        ["what", "width", "ms", "speed", "none"],
        ["5 nodes", "21", "12.3", "2.00", ""],
        ["lost", "21", "not run"],
    ]


def test_a_table_of_a_benchmark_may_have_columns_of_several_places(tables, tmp_path):
    (tmp_path / "x.json").write_text(
        '{"b": {"of": {"all": {"up": 0.12, "up_deviation": 0.01}}}, "t": {"all": {"up": 2}}}'
    )
    columns = {"B": ["b|of|{}|up", ".2f", "up_deviation"], "T": ["t|{}|up", ".1f", "none"]}
    rows = {"all": "everything", "lost": "what is lost"}
    assert tables.beside(tables.Results(tmp_path), "x", "part", rows, columns) == [
        ["part", "B", "T"],
        ["everything", "0.12 ± 0.01", "2.0"],
        ["what is lost", "not run"],
    ]
    assert tables.beside(tables.Results(tmp_path), "y", "part", rows, columns)[1:] == [["not run"]]
