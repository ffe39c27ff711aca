"""Paper, released, honest: side by side, averaged, tested, or refused as not comparable."""

from __future__ import annotations

import json

import pytest

from edgewise.errors import EdgewiseError
from edgewise.evaluation.report import sealed
from edgewise.experiments.compare import BEST, PAPER, SECOND, Column, compare
from edgewise.experiments.results import find_results, read_result

TEXT = """# title: A table
# reference: full
# released: elmrec-released
dataset,task,method,label,HitRate@10
shop,direct,full,Full,0.65
shop,direct,other,Other,0.31
far,direct,full,Full,0.7
"""
N = 200
PAPERS, LEAKS, HONEST = (Column("HitRate@10", o) for o in (PAPER, "elmrec-released", "honest"))


def users(hits: int, of: int = N):
    return {"HitRate@10": [1.0] * hits + [0.0] * (of - hits)}


@pytest.fixture
def table(layout):
    layout.configs.mkdir(parents=True)
    (layout.configs / "t.csv").write_text(TEXT)
    return layout


def comparison(layout, **options):
    files = find_results(layout, "t", is_table=True)
    (found,) = compare([read_result(f, layout.results) for f in files], layout, ["t"], **options)
    return found


def rows(block):
    return {row.method: row for row in block.rows}


def test_the_three_columns_side_by_side(table, write_result):
    write_result("t/shop/full-seed0", users(80), baseline=users(50))
    write_result("t/shop/full-seed1", users(100), baseline=users(50))
    write_result("t/shop/full@elmrec-released-seed0", users(150), baseline=users(60))
    block, far = comparison(table).blocks
    assert block.columns == (PAPERS, LEAKS, HONEST)
    full = rows(block)["full"].figures
    assert full[PAPERS].value == 0.65
    assert full[LEAKS].value == 0.75 and full[LEAKS].deviation is None
    assert full[HONEST].value == pytest.approx(0.45)
    assert full[HONEST].seeds == {0: 0.4, 1: 0.5}
    assert full[HONEST].deviation == pytest.approx(0.05 * 2**0.5)
    low, high = full[HONEST].low, full[HONEST].high
    assert low is not None and high is not None and low < 0.45 < high
    assert list(rows(block)["other"].figures) == [PAPERS]
    assert rows(block)["baseline:Popularity"].figures[HONEST].value == 0.25
    assert (far.dataset, far.measured) == ("far", False)


def test_marks_and_differences(table, write_result):
    write_result("t/shop/full-seed0", users(120), baseline=users(20))
    write_result("t/shop/full-seed1", users(110), baseline=users(20))
    write_result("t/shop/own-seed0", users(60))
    write_result("t/shop/own-seed1", users(70))
    block = comparison(table).blocks[0]
    assert block.reference == "full"
    figures = {name: row.figures.get(HONEST) for name, row in rows(block).items()}
    assert (figures["full"].place, figures["own"].place) == (BEST, SECOND)
    assert figures["full"].starred and not figures["own"].starred
    own, popular = block.differences
    assert (own.method, popular.method) == ("own", "baseline:Popularity")
    assert own.estimate.mean == pytest.approx(0.25)
    # The least p-value of 5,000 resamples, twice, for two differences.
    assert own.p_users == pytest.approx(2 / 5001) and own.p_holm == pytest.approx(4 / 5001)
    assert own.p_seeds is not None and popular.p_seeds is None


def test_users_that_are_not_at_hand_leave_the_test_over_seeds(table, write_result):
    for seed, (mine, other) in enumerate([(120, 60), (110, 70)]):
        write_result(f"t/shop/full-seed{seed}", users(mine), keep_users=False)
        write_result(f"t/shop/own-seed{seed}", users(other), keep_users=False)
    (difference,) = comparison(table).blocks[0].differences
    assert difference.p_users is None and difference.p_holm is None
    assert difference.p_seeds is not None
    block = comparison(table).blocks[0]
    assert not any(f.starred for row in block.rows for f in row.figures.values())
    said = "; users' rows are not at hand: no intervals over users for means of seeds, no"
    assert said in block.conditions["honest"]


def test_it_is_told_which_rows_users_are_not_at_hand(table, write_result):
    write_result("t/shop/full", users(80))
    assert "users' rows" not in comparison(table).blocks[0].conditions["honest"]
    write_result("t/shop/other", users(60), keep_users=False)
    (words,) = comparison(table).blocks[0].conditions.values()
    assert "; users' rows of Other are not at hand: " in words


def test_a_figure_that_is_not_the_mean_of_its_users_is_refused(table, write_result):
    file = write_result("t/shop/full", users(80))
    content = json.loads(file.read_text())
    content["results"]["direct"]["ELMRec"]["metrics"]["HitRate@10"]["mean"] = 0.95
    file.write_text(json.dumps(sealed(content)))
    with pytest.raises(EdgewiseError, match=r"direct-test\.parquet: HitRate@10 of .* was changed"):
        comparison(table)


def test_users_of_another_evaluation_are_not_taken_for_these(table, write_result):
    write_result("t/shop/full", users(120))
    write_result("t/shop/own", users(60))
    folder = table.runs / "per-user/t/shop"
    (folder / "own/direct-test.parquet").replace(folder / "full/direct-test.parquet")
    assert [each.p_users for each in comparison(table).blocks[0].differences] == [None]


def test_what_is_asked_for_and_not_run_is_a_row_without_figures(table, write_result, write_config):
    write_config("t/shop/planned")
    write_config("t/new/full")
    write_result("t/shop/full", users(80))
    shop, new, _ = comparison(table).blocks
    assert rows(shop)["planned"].figures == {}
    assert (new.dataset, list(rows(new))) == ("new", ["full"]) and not new.measured


def test_a_table_without_any_result(table):
    assert [block.measured for block in comparison(table).blocks] == [False, False]


def test_another_reference(table, write_result):
    write_result("t/shop/full", users(80))
    write_result("t/shop/own", users(60))
    block = comparison(table, reference="own").blocks[0]
    assert block.reference == "own"
    assert [each.method for each in block.differences] == ["full"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checksum": "b" * 64}, "data checksum is aaaaaaaaaaaa for the one and bbbbbbbbbbbb"),
        ({"max_users": 100}, "number of users is all for the one and 100"),
        ({"split": "ratio"}, "split is leave-one-out for the one and ratio"),
        ({"users_seed": 3}, "sample of users is not told for the one and 3"),
    ],
)
def test_different_conditions_are_refused(table, write_result, settings, message):
    write_result("t/shop/full", users(80))
    write_result("t/shop/own", users(60), **settings)
    with pytest.raises(EdgewiseError, match=f"not comparable: {message}"):
        comparison(table)


def test_other_content_of_one_protocol_is_no_seed(table, write_result):
    write_result("t/shop/full@elmrec-released-seed0", users(80))
    write_result("t/shop/full@elmrec-released-seed1", users(60), edge_share=0.8)
    with pytest.raises(EdgewiseError, match=r"share of edges is 0\.535 for the one and 0\.8 for"):
        comparison(table)


def test_another_version_of_a_protocol_is_refused(table, write_result):
    file = write_result("t/shop/full", users(80))
    content = json.loads(file.read_text())
    content["run"]["protocol"]["version"] = 0
    file.write_text(json.dumps(sealed(content)))
    with pytest.raises(EdgewiseError, match=r"full\.json: fitted under honest v0, but this edgew"):
        comparison(table)


def test_a_figure_changed_by_hand_is_refused(table, write_result):
    file = write_result("t/shop/full", users(80))
    content = json.loads(file.read_text())
    content["results"]["direct"]["ELMRec"]["metrics"]["HitRate@10"]["mean"] = 0.95
    file.write_text(json.dumps(content))
    with pytest.raises(EdgewiseError, match=r"full\.json: its content is not what was sealed"):
        comparison(table)


def test_a_file_without_a_seal_is_accepted_when_asked(table, write_result):
    file = write_result("t/shop/full", users(80))
    content = json.loads(file.read_text())
    del content["seal"], content["protocol"]
    file.write_text(json.dumps(content))
    for allowed in (False, True):
        with pytest.raises(EdgewiseError, match="its seal was removed"):
            read_result(file, table.results, allow_unsealed=allowed)
    del content["run"]["protocol"]
    (report,) = content["results"]["direct"].values()
    del report["protocol"], report["rows_sha256"]
    file.write_text(json.dumps(content))
    with pytest.raises(EdgewiseError, match="--allow-unsealed"):
        read_result(file, table.results)
    assert read_result(file, table.results, allow_unsealed=True).tasks == ["direct"]


def test_a_file_that_was_renamed_to_another_protocol_is_refused(table, write_result):
    file = write_result("t/shop/full@elmrec-released", users(80))
    file = file.rename(file.with_name("full.json"))
    with pytest.raises(
        EdgewiseError, match="measured under elmrec-released, but its name says hon"
    ):
        read_result(file, table.results)


def test_a_file_of_something_else_is_refused(table, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(json.dumps(sealed({"kind": "else", "results": {}})))
    with pytest.raises(EdgewiseError, match="no result of an experiment"):
        read_result(file, table.results)


def test_nothing_of_the_name(table):
    with pytest.raises(EdgewiseError, match="no result file, folder or table"):
        list(find_results(table, "nothing"))
