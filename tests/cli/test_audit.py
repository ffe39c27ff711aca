"""``edgewise audit``, and what ``fit`` and ``evaluate`` say of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

TABLES = Path(__file__).parents[2] / "docs" / "tables"


def test_a_clean_data_set(edgewise, shop, tmp_path):
    file = tmp_path / "audit.json"
    result = edgewise("audit", "--data", shop, "--fail-on", "any", "--json", file)
    assert result.exit_code == 0, result.output
    assert "no leak in" in result.output and "untrained-probe" in result.output
    values = json.loads(file.read_text())
    assert values["verdict"] == "no leak found" and values["checks"] == "all"
    assert len(values["findings"]) > 10


def test_source_numbers_are_found_and_fail_where_asked(edgewise, numbered):
    fast = ("audit", "--data", numbered, "--fast")
    result = edgewise(*fast)
    assert result.exit_code == 0 and "LEAKS in 1 of" in result.output
    assert "HR@10 1.0000" in result.output
    assert edgewise(*fast, "--fail-on", "graph", "--fail-on", "text").exit_code == 0
    for group in ("ids", "any"):
        failed = edgewise(*fast, "--fail-on", group)
        assert failed.exit_code == 1 and "failed on: item-numbers" in failed.output


def test_a_released_protocol_names_its_leaks(edgewise, shop):
    asked = ("--protocol", "elmrec-released", "--fast", "--fail-on", "text")
    result = edgewise("audit", "--data", shop, *asked)
    assert result.exit_code == 1
    assert "graph-edges" in result.output and "elmrec-released v" in result.output


def test_a_run(edgewise, run):
    result = edgewise("audit", "--run", run, "--fail-on", "any")
    assert result.exit_code == 0, result.output
    assert "training was handed" in result.output
    (verdict,) = (line for line in result.output.splitlines() if "repeated-items" in line)
    assert "ok" in verdict


def test_evaluate_tells_the_verdict(edgewise, popular_run):
    result = edgewise("evaluate", popular_run, "--task", "direct", "--max-users", 5)
    assert result.exit_code == 0, result.output
    assert "audit (fast checks): no leak in" in result.output


@pytest.mark.parametrize(("number", "wrong", "rows"), [(2, 5, 24), (3, 7, 33)])
def test_published_tables(edgewise, tmp_path, number, wrong, rows):
    file = tmp_path / "found.json"
    table = TABLES / f"elmrec-table-{number}.csv"
    result = edgewise("audit", "--table", table, "--fail-on", "results", "--json", file)
    assert result.exit_code == 1
    assert f"ELMRec Table {number}, Sports, ELMRec" in result.output
    assert f"published-figures (impossible rows {wrong} of {rows})" in result.output
    listed = json.loads(file.read_text())["table"]["rows"]
    assert len(listed) == rows
    assert sum(bool(row["impossible"]) for row in listed) == wrong


def test_columns_that_are_not_checked_are_named(edgewise, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("model,HR@5,NDCG@5,Precision@5\na,0.5,0.4,0.1\n")
    result = edgewise("audit", "--table", file)
    assert result.exit_code == 0, result.output
    told = f"warning: {file}: not checked, being neither HR@k nor NDCG@k: Precision@5"
    assert told in result.output


def test_a_damaged_audit_is_made_again_as_the_message_says(
    edgewise, popular_run, tmp_path, monkeypatch
):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
    (folder / "audit.json").write_text("{")
    measured = []
    monkeypatch.setattr("edgewise.cli.evaluate.measure", lambda *asked: measured.append(asked))
    refused = edgewise("evaluate", folder, "--json", tmp_path / "all.json")
    assert refused.exit_code == 2 and not measured
    advice = re.findall("'edgewise (audit .*?)'", refused.output)[0]
    made = edgewise(*advice.split(), "--fast")
    assert made.exit_code == 0, made.output
    monkeypatch.undo()
    again = edgewise("evaluate", folder, "--task", "direct", "--max-users", 5)
    assert again.exit_code == 0 and "audit (fast checks): no leak in" in again.output


def test_a_changed_figure_fails_a_script(edgewise, popular_run, tmp_path):
    folder = Path(shutil.copytree(popular_run, tmp_path / "run"))
    assert edgewise("evaluate", folder, "--task", "direct", "--max-users", 20).exit_code == 0
    file = folder / "evaluation" / "direct-test.json"
    file.write_text(file.read_text().replace('"num_users": 20', '"num_users": 21'))
    result = edgewise("audit", "--run", folder, "--fast", "--fail-on", "any")
    assert result.exit_code == 1 and "failed on: sealed-figures" in result.output


def test_a_table_beside_a_data_set(edgewise, shop):
    table = TABLES / "elmrec-table-2.csv"
    result = edgewise("audit", "--data", shop, "--fast", "--table", table)
    assert "published-figures" in result.output and "graph-edges" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to audit"),
        (["--fail-on", "grahp", "--table", "x.csv"], "'graph'"),
        (["--data", "SHOP", "--protocol", "onest"], "'honest'"),
        (["--data", "SHOP", "--split", "ratoi"], "'ratio'"),
        (["--data", "SHOP", "--edge-share", "0.8"], "error: --edge-share: edge_share belongs to"),
        (["--data", "SHOP", "--protocol", "temporal", "--split", "ratio"], "splits by time"),
        (["--data", "nowhere"], "edgewise data import"),
        (["--run", "nowhere"], "edgewise fit"),
        (["--run", "RUN", "--split", "time"], "--split time: a run has its own"),
        (["--run", "RUN", "--protocol", "temporal"], "was fitted under honest"),
        (["--table", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_cannot_be_audited_is_refused(edgewise, shop, popular_run, arguments, words):
    places = {"SHOP": shop, "RUN": popular_run}
    result = edgewise("audit", *(places.get(word, word) for word in arguments))
    assert result.exit_code == 2
    assert words in result.output and result.output.count("\n") == 1
