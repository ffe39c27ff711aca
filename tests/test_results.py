"""Published figures: every one from a committed configuration, every table from its files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgewise.config import to_dict, updated
from edgewise.evaluation.protocols import find_protocol, recorded_protocol
from edgewise.evaluation.report import load_report
from edgewise.experiments.grid import ResultKey
from edgewise.experiments.results import EVALUATION, STATISTICS, VECTORS
from edgewise.models.registry import DEFAULT_METHOD, find_method
from edgewise.runs.spec import differences, read_recipe, resolve_config

ROOT = Path(__file__).parents[1]
EXPERIMENTS, RESULTS = ROOT / "experiments", ROOT / "results"
CONFIGS = sorted(EXPERIMENTS.rglob("*.toml"))
# Counted by hand: a configuration that gets lost, or is added without a table, is noticed.
NUM_CONFIGS = {
    "direct/beauty": 6,
    "direct/toys": 2,
    "sequential/beauty": 7,
    "reviews/musical_instruments": 1,
    "elmrec/table-1/beauty": 1,
    "elmrec/table-1/gift_cards": 1,
    "elmrec/table-1/musical_instruments": 1,
    "elmrec/table-1/toys": 1,
    "elmrec/table-2/beauty": 4,
    "elmrec/table-2/toys": 4,
    "elmrec/table-3/beauty": 3,
    "elmrec/table-3/toys": 3,
    "elmrec/table-4/musical_instruments": 4,
    "elmrec/table-5/musical_instruments": 3,
    "elmrec/table-6/musical_instruments": 5,
    "elmrec/table-7/musical_instruments": 4,
    "elmrec/table-8/beauty": 1,
    "elmrec/table-8/musical_instruments": 1,
    "elmrec/figure-5/musical_instruments": 5,
    "elmrec/figure-6/musical_instruments": 9,
    "elmrec/figure-7/beauty": 1,
    "elmrec/figure-8/beauty": 1,
    "graph-gpt/choices/gift_cards": 2,
    "graph-gpt/choices/musical_instruments": 2,
    "graph-gpt/figure-4/gift_cards": 3,
    "graph-gpt/figure-5/gift_cards": 5,
    "graph-gpt/figure-5/musical_instruments": 5,
    "graph-gpt/figure-6/gift_cards": 6,
    "graph-gpt/figure-6/musical_instruments": 6,
    "graph-gpt/table-2/gift_cards": 5,
    "graph-gpt/table-2/musical_instruments": 5,
    "sequential/toys": 1,
    "graph-gpt/table-1/gift_cards": 1,
    "graph-gpt/table-1/musical_instruments": 1,
}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def configuration(result: Path) -> Path:
    """The configuration that a result belongs to."""
    place = ResultKey.of(result.relative_to(RESULTS))
    file = EXPERIMENTS / place.table / place.dataset / f"{place.method}.toml"
    assert file.is_file(), f"{named(result)} has no configuration {named(file)}"
    return file


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


def test_all_configurations_are_there() -> None:
    found: dict[str, int] = {}
    for path in CONFIGS:
        folder = path.parent.relative_to(EXPERIMENTS).as_posix()
        found[folder] = found.get(folder, 0) + 1
    assert found == NUM_CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_a_configuration_parses_and_differs_from_its_neighbours(path: Path) -> None:
    config = resolve_config(None, path)
    for other in path.parent.glob("*.toml"):
        if other != path:
            assert differences(config, resolve_config(None, other)), f"the same as {other.name}"


@pytest.mark.parametrize("path", EVALUATIONS, ids=named)
def test_a_result_belongs_to_a_committed_configuration(path: Path) -> None:
    place, file = ResultKey.of(path.relative_to(RESULTS)), configuration(path)
    run, recipe, seed = read(path)["run"], read_recipe(file), place.seed
    assert seed is None or seed in recipe.seeds, f"{named(file)} names no seed {seed}"
    protocols = recipe.protocols or (recipe.protocol or "honest",)
    assert place.protocol in protocols, f"{named(file)} names no protocol {place.protocol}"
    assert recorded_protocol(run.get("protocol")).name == place.protocol
    method = find_method(run.get("method", DEFAULT_METHOD))
    assert method.name == (recipe.method or DEFAULT_METHOD)
    committed = resolve_config(None, file, [] if seed is None else [f"seed={seed}"])
    # A setting that is younger than the result had its default's effect.
    fitted = updated(method.default_config(), run["config"])
    changed = f"{named(file)} or its preset has changed: run it again"
    assert to_dict(fitted) == to_dict(committed), changed
    assert run["seed"] == committed.seed and run["status"] == "finished"
    kind = recipe.split or find_protocol(place.protocol).split_kind
    split = {"kind": kind, "seed": recipe.split_seed or 0}
    assert run["split"] == split
    assert run["data"]["name"] == path.parent.name and len(run["data"]["checksum"]) == 64
    assert run["machine"]["processor"] and run["machine"]["cores"] >= 1
    assert {"python", "edgewise", "torch", "transformers"} <= run["versions"].keys()


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
    result, file = read(path), configuration(path)
    recipe = read_recipe(file)
    assert result["recipe"]["kind"] == recipe.kind
    assert result["recipe"]["data"] == recipe.data.options()
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


def test_the_tables_are_up_to_date() -> None:
    command = [sys.executable, WRITE_TABLES, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
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
    assert rows[2] == ["random", "0.5000", "0.5000", interval, "0.5000", "≤ 5", "2", "10,000"]
    interval = "0.2500 (0.2400 to 0.2600)"
    assert rows[-1] == ["popularity", "0.2500", "0.2500", interval, "0.2500", "", "", "10,000"]


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
        ["variant", "Recall@20", "seeds", "epochs", "training, minutes", "users"],
        ["full", "0.2000 ± 0.1000", "3", "3 + 7", "3", "1,234"],
        ["single", "0.2500", "1", "3 + 7", "1", "1,234"],
        ["missing", "not run"],
        ["popularity", "0.0500", "", "", "", "1,234"],
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
