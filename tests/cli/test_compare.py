"""Results beside what papers print, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PAPER = """# title: A table
# released: elmrec-released
dataset,task,method,label,HitRate@10
shop,direct,full,Full,0.65
shop,direct,lost,Lost,0.31
far,direct,full,Full,0.7
"""


@pytest.fixture
def project(edgewise, run, tmp_path, monkeypatch) -> Path:
    """A project folder with one result of the run."""
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/t.csv").write_text(PAPER)
    asked = ("evaluate", run, "--task", "direct", "--per-user", "runs/per-user/t/shop/full")
    made = edgewise(*asked, "--json", "results/t/shop/full.json")
    assert made.exit_code == 0, made.output
    return tmp_path


@pytest.fixture
def compare(edgewise):
    """``edgewise compare`` on the project's own tables."""
    return lambda *arguments: edgewise("compare", *arguments, "--configs", "configs")


def test_markdown_is_printed(compare, project):
    result = compare("t")
    assert result.exit_code == 0, result.output
    assert "| | HR@10, paper | HR@10, elmrec-released | HR@10 |" in result.output
    assert "| Lost | <u>0.3100</u> | not yet | not yet |" in result.output
    assert "### far, direct recommendation" in result.output
    assert "Full less the others:" in result.output and "| Popularity | HR@10 |" in result.output


def test_one_data_set_and_another_reference(compare, project):
    result = compare("results/t", "--dataset", "shop", "--reference", "full")
    assert result.exit_code == 0 and "### far" not in result.output
    wrong = compare("t", "--dataset", "shpo")
    assert wrong.exit_code == 2 and "Did you mean 'shop'" in wrong.output


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("t.md", "## A table"),
        ("t.HTML", "<!doctype html>"),
        ("t.csv", "table,dataset,task"),
        ("t.tex", "% t: A table"),
    ],
)
def test_the_files_name_tells_the_format(compare, project, name, start):
    result = compare("t", "--out", name)
    assert result.exit_code == 0 and result.output == f"wrote {name}\n"
    assert Path(name).read_text().startswith(start)


def test_a_changed_figure_is_refused(compare, project):
    file = Path("results/t/shop/full.json")
    content = json.loads(file.read_text())
    content["results"]["direct"]["ELMRec"]["metrics"]["HitRate@10"]["mean"] = 0.99
    file.write_text(json.dumps(content))
    for options in ([], ["--allow-unsealed"]):
        result = compare("t", *options)
        assert result.exit_code == 2
        assert "results/t/shop/full.json: its content is not what was sealed" in result.output


def test_results_of_other_data_are_refused(edgewise, compare, project, shop, tmp_path):
    assert compare("t", "--data", shop).exit_code == 0
    edgewise("data", "demo", "--out", tmp_path / "other" / "shop", "--seed", 9)
    for given in ("other", "other/shop"):
        result = compare("t", "--data", given)
        assert result.exit_code == 2 and "measured on other data (checksum" in result.output
    wrong = compare("t", "--data", "results")
    assert wrong.exit_code == 2 and "--data results: no result was measured on" in wrong.output


def test_a_single_result_of_other_data_than_are_here_is_refused(edgewise, compare, project, shop):
    edgewise("data", "demo", "--out", "runs/data/shop", "--seed", 9)
    result = compare("results/t/shop/full.json")
    assert result.exit_code == 2 and "than runs/data/shop holds" in result.output
    assert compare("t", "--data", shop).exit_code == 0
    assert compare("t", "--dataset", "far").exit_code == 0


def test_users_that_are_not_here_are_told(compare, project):
    assert "not at hand" not in compare("t").output
    assert "not at hand" not in compare("t", "--runs", "elsewhere").output
    Path("results/t/shop/full.users.npz").unlink()
    result = compare("t", "--runs", "elsewhere")
    assert "; users' rows are not at hand: no intervals over users" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: no result file, folder or table"),
        (["t", "--format", "htm"], "Did you mean 'html'"),
        (
            ["t", "--out", "x.pdf"],
            "--out x.pdf: its name tells no format; end it in .md, .csv, .te",
        ),
        (["t", "--out", "x"], "or name one of markdown, csv, latex, html with --format"),
        (["t", "--reference", "ful"], "--reference ful: no table has it. Did you mean 'full'?"),
        (["t", "--reference", "lost"], "--reference lost: has not been measured"),
    ],
)
def test_impossible_wishes(compare, project, arguments, message):
    result = compare(*arguments)
    assert result.exit_code == 2 and message in result.output
    assert not Path("x.pdf").exists() and not Path("x").exists()


def test_runs_are_compared_with_each_other(edgewise, shop, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for folder in runs:
        made = edgewise("fit", "popularity", "--data", shop, "--out", folder, "--quiet")
        assert made.exit_code == 0, made.output
    bare = edgewise("compare", *runs)
    assert bare.exit_code == 2 and f"run 'edgewise evaluate {runs[0]}' first" in bare.output
    for folder in runs:
        assert edgewise("evaluate", folder, "--task", "direct").exit_code == 0
    result = edgewise("compare", *runs)
    assert result.exit_code == 0, result.output
    assert f"| Popularity ({runs[1]}) | HR@10 | +0.0000 (+0.0000 to +0.0000) |" in result.output
    assert edgewise("compare", *runs, "--out", tmp_path / "c.csv").exit_code == 0
    assert (tmp_path / "c.csv").read_text().startswith("table,dataset,task")
    mixed = edgewise("compare", runs[0], "elmrec/table-2")
    assert mixed.exit_code == 2 and "elmrec/table-2: no run folder" in mixed.output
    option = edgewise("compare", *runs, "--dataset", "shop")
    assert option.exit_code == 2 and "--dataset: not for runs" in option.output
    table = edgewise("compare", "elmrec/table-2", "--part", "valid")
    assert table.exit_code == 2 and "--part: for runs alone" in table.output
