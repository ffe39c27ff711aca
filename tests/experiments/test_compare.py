"""Paper, released, honest: side by side, averaged, tested, or refused as not comparable."""

from __future__ import annotations

import json

import polars as pl
import pytest

from edgewise.errors import EdgewiseError
from edgewise.evaluation.report import sealed
from edgewise.experiments.compare import compare, results_of
from edgewise.experiments.figures import BEST, FIGURES, PAPER, SECOND, machine_in_words
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
LEAKS, HONEST = "elmrec-released", "honest"


def users(hits: int, of: int = N):
    return {"HitRate@10": [1.0] * hits + [0.0] * (of - hits)}


@pytest.fixture
def table(layout):
    layout.configs.mkdir(parents=True)
    (layout.configs / "t.csv").write_text(TEXT)
    return layout


def comparison(layout, **options):
    files = find_results(layout, "t", is_table=True)
    return compare([read_result(f, layout.results) for f in files], layout, ["t"], **options)


def blocks(layout, **options):
    """The blocks of the table as :data:`FIGURES`."""
    return comparison(layout, **options).blocks("t")


def figure(block, method, origin=HONEST):
    """One place of a block, by its names."""
    return block.row(
        by_predicate=(pl.col("method") == method) & (pl.col("origin") == origin), named=True
    )


def methods(block):
    return block["method"].unique(maintain_order=True).to_list()


def known(block, method):
    """Origins under which a row has a figure."""
    return block.filter(method=method).drop_nulls("value")["origin"].to_list()


def differences(block):
    return block.drop_nulls("difference").rows(named=True)


def conditions(block, protocol=HONEST):
    return block.filter(origin=protocol)["conditions"][0]


def test_the_three_columns_side_by_side(table, write_result):
    write_result("t/shop/full-seed0", users(80), baseline=users(50))
    write_result("t/shop/full-seed1", users(100), baseline=users(50))
    write_result("t/shop/full@elmrec-released-seed0", users(150), baseline=users(60))
    block, far = blocks(table)
    columns = block.select("metric", "origin").unique(maintain_order=True).rows()
    assert columns == [("HitRate@10", origin) for origin in (PAPER, LEAKS, HONEST)]
    assert figure(block, "full", PAPER)["value"] == 0.65
    leaking = figure(block, "full", LEAKS)
    assert leaking["value"] == 0.75 and leaking["deviation"] is None
    honest = figure(block, "full")
    assert honest["value"] == pytest.approx(0.45)
    assert (honest["seeds"], honest["per_seed"]) == ([0, 1], [0.4, 0.5])
    assert honest["deviation"] == pytest.approx(0.05 * 2**0.5)
    assert honest["low"] < 0.45 < honest["high"]
    assert (honest["users"], honest["minutes"]) == (N, 1.0)
    assert known(block, "other") == [PAPER]
    assert figure(block, "baseline:Popularity")["value"] == 0.25
    assert far["dataset"][0] == "far" and set(known(far, "full")) == {PAPER}
    assert block.schema == FIGURES


def test_marks_and_differences(table, write_result):
    write_result("t/shop/full-seed0", users(120), baseline=users(20))
    write_result("t/shop/full-seed1", users(110), baseline=users(20))
    write_result("t/shop/own-seed0", users(60))
    write_result("t/shop/own-seed1", users(70))
    block = blocks(table)[0]
    assert set(block["reference"]) == {"full"}
    full, own = figure(block, "full"), figure(block, "own")
    assert (full["place"], own["place"]) == (BEST, SECOND)
    assert full["star"] and not own["star"]
    own, popular = differences(block)
    assert (own["method"], popular["method"]) == ("own", "baseline:Popularity")
    assert own["difference"] == pytest.approx(0.25)
    # The least p-value of 5,000 resamples, twice, for two differences.
    assert own["p_users"] == pytest.approx(2 / 5001) and own["p_holm"] == pytest.approx(4 / 5001)
    assert own["p_seeds"] is not None and popular["p_seeds"] is None


def test_many_differences_can_still_be_told_from_chance(table, write_result):
    metrics = [f"HitRate@{k}" for k in range(1, 31)]
    (table.configs / "t.csv").unlink()  # with it, the paper's metrics alone would be shown
    for method, hits in (("full", 30), ("own", 9), ("other", 6)):
        values = [1.0] * hits + [0.0] * (40 - hits)
        write_result(f"t/shop/{method}", dict.fromkeys(metrics, values))
    found = differences(blocks(table)[0])
    # 60 tests of 6,000 resamples each: 60 * 2 / 6,001, where 5,000 would give .024.
    assert [each["p_holm"] for each in found] == pytest.approx([120 / 6001] * 60)


def test_users_that_are_not_at_hand_leave_the_test_over_seeds(table, write_result):
    for seed, (mine, other) in enumerate([(120, 60), (110, 70)]):
        write_result(f"t/shop/full-seed{seed}", users(mine), keep_users=False)
        write_result(f"t/shop/own-seed{seed}", users(other), keep_users=False)
    block = blocks(table)[0]
    (difference,) = differences(block)
    assert difference["p_users"] is None and difference["p_holm"] is None
    assert difference["p_seeds"] is not None
    assert not block["star"].any()
    said = "; users' rows are not at hand: no intervals over users for means of seeds, no"
    assert said in conditions(block)


def test_it_is_told_which_rows_users_are_not_at_hand(table, write_result):
    write_result("t/shop/full", users(80))
    assert "users' rows" not in conditions(blocks(table)[0])
    write_result("t/shop/other", users(60), keep_users=False)
    assert "; users' rows of Other are not at hand: " in conditions(blocks(table)[0])


def test_users_beside_a_result_are_as_good_as_those_among_the_runs(table, write_result):
    places = {"full": users(120), "own": users(60)}
    found = []
    for keep in (True, "beside"):
        for method, values in places.items():
            write_result(f"t/shop/{method}", values, baseline=users(20), keep_users=keep)
        found.append(blocks(table)[0])
        for file in (table.runs / "per-user").rglob("*.parquet"):
            file.unlink()
    assert found[0].equals(found[1]) and "users' rows" not in conditions(found[1])
    beside = table.results / "t/shop/own.users.npz"
    (table.results / "t/shop/full.users.npz").replace(beside)
    assert [each["p_users"] for each in differences(blocks(table)[0])] == [None, None]


def test_the_best_row_is_the_reference_where_that_is_asked_for(table, write_result):
    write_result("t/shop/full", users(80))
    write_result("t/shop/own", users(120))
    assert set(blocks(table, reference="best")[0]["reference"]) == {"own"}
    (table.configs / "t.csv").write_text(TEXT.replace("reference: full", "reference: best"))
    assert set(blocks(table)[0]["reference"]) == {"own"}
    write_result("t/shop/third", users(150), keep_users=False)
    block = blocks(table)[0]
    assert set(block["reference"]) == {"own"}, "the best of those that can be tested"
    assert "; users' rows of third are not at hand" in conditions(block)
    assert not block["star"].any(), "nobody knows whether it beats them all"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"threads": 1}, "1 thread"),
        ({"threads": 4, "gpu": "A card", "gpu_peak_memory_mb": 0}, "4 threads"),
        ({"threads": 4, "gpu": "A card", "gpu_peak_memory_mb": 239}, "A card"),
        ({}, None),
        (None, None),
    ],
)
def test_a_machine_is_what_was_computed_on(machine, words):
    assert machine_in_words(machine) == words


def test_how_fast_a_row_was_trained_and_answered(table, write_result):
    file = write_result("t/shop/full", users(80))
    found = figure(blocks(table)[0], "full")
    # 200 users in the 1.5 seconds of the whole measurement; the answers' own were not told.
    assert found["users_per_second"] == pytest.approx(200 / 1.5) and not found["answers_alone"]
    content = json.loads(file.read_text())
    content["results"]["direct"]["ELMRec"]["answer_seconds"] = 0.5
    file.write_text(json.dumps(sealed(content)))
    found = figure(blocks(table)[0], "full")
    assert found["users_per_second"] == 400 and found["answers_alone"]


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
    assert [each["p_users"] for each in differences(blocks(table)[0])] == [None]


def test_what_is_asked_for_and_not_run_is_a_row_without_figures(table, write_result, write_config):
    write_config("t/shop/planned")
    write_config("t/new/full")
    write_result("t/shop/full", users(80))
    shop, new, _ = blocks(table)
    assert known(shop, "planned") == []
    assert (new["dataset"][0], methods(new)) == ("new", ["full"]) and known(new, "full") == []


def test_a_table_without_any_result(table):
    measured = pl.col("origin") != PAPER, pl.col("value").is_not_null()
    assert [len(block.filter(*measured)) for block in blocks(table)] == [0, 0]


def test_another_reference(table, write_result):
    write_result("t/shop/full", users(80))
    write_result("t/shop/own", users(60))
    block = blocks(table, reference="own")[0]
    assert set(block["reference"]) == {"own"}
    assert [each["method"] for each in differences(block)] == ["full"]


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


BORROWS = """# title: Prompts
# also: p/table-2 full-wide as full
dataset,task,method,label
*,direct,full,Entire prompt
*,direct,short,Short prompt
"""


def test_rows_are_borrowed_for_data_sets_that_the_table_has(layout, write_config, write_result):
    write_config("p/figure-4/shop/short")
    (layout.configs / "p/figure-4.csv").write_text(BORROWS)
    for dataset in ("shop", "far"):
        write_result(f"p/table-2/{dataset}/full-wide", {"HitRate@10": [1.0, 0.0]})
    found = results_of(layout, "p/figure-4")
    assert [each.place.path for each in found] == ["p/figure-4/shop/full"]
    (block,) = compare(found, layout, ["p/figure-4"]).blocks("p/figure-4")
    assert set(block["dataset"]) == {"shop"}
    assert block["label"].to_list() == ["Entire prompt", "Short prompt"]


BY_DATASET = """# title: Data sets
# reference: full
# rows: datasets
dataset,task,method,label,HitRate@10
shop,direct,full,Full,0.65
far,direct,full,Full,0.7
"""


def test_rows_that_are_data_sets_keep_their_own_figures_and_differences(table, write_result):
    (table.configs / "t.csv").write_text(BY_DATASET)
    for dataset, mine, other in (("shop", 80, 60), ("far", 50, 40), ("near", 20, 10)):
        write_result(f"t/{dataset}/full", users(mine))
        write_result(f"t/{dataset}/own", users(other))
    (block,) = blocks(table)
    assert set(block["dataset"]) == {"all data sets"}
    labels = block["label"].unique(maintain_order=True).to_list()
    assert labels == [
        f"{data}, {row}" for data in ("shop", "far", "near") for row in ("Full", "own")
    ]
    found = {each["label"]: each["difference"] for each in differences(block)}
    assert found == pytest.approx({"shop, own": 0.1, "far, own": 0.05, "near, own": 0.05})
    near = block.filter(label="near, Full").select("origin", "value", "place").rows()
    assert near == [(PAPER, None, 0), (HONEST, 0.1, BEST)]


@pytest.mark.parametrize(
    ("better", "places"), [("high", [1, 1, 2, 0]), ("low", [0, 0, 2, 1]), ("none", [0] * 4)]
)
def test_equal_figures_share_their_place(table, write_result, better, places):
    text = TEXT.replace("# reference", f"# better: {better}\n# reference")
    (table.configs / "t.csv").write_text(text)
    for method, hits in (("full", 80), ("other", 80), ("third", 60), ("zero", 10)):
        write_result(f"t/shop/{method}", users(hits))
    block = blocks(table)[0].filter(origin=HONEST)
    assert block["place"].to_list() == places
