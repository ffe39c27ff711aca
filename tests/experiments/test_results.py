"""A cell is finished if its figures were made as it asks for, and only then.

Results of other data than this machine has under the same name are refused, alone or not.
"""

from __future__ import annotations

import json

import pytest

from edgewise.errors import DataError, EdgewiseError
from edgewise.evaluation.report import sealed
from edgewise.experiments.grid import Selection, find_cells
from edgewise.experiments.results import (
    check_data,
    check_same_data,
    read_result,
    recorded_checksum,
    why_unfinished,
)

TWO_USERS = {"HitRate@10": [0.0, 1.0]}
USERS = {"HitRate@10": [0.0, 1.0, 1.0], "NDCG@10": [0.0, 0.5, 1.0]}


@pytest.fixture
def reason(layout, write_config):
    def why(text="", **choice):
        write_config("t/shop/a", f'preset = "tiny"\n{text}')
        (cell,) = find_cells(layout, ["t"], Selection(**choice))
        return why_unfinished(cell, layout)

    return why


def test_nothing_is_there(reason):
    assert reason() == "not measured yet"


def test_what_was_asked_for_is_there(reason, write_result):
    write_result("t/shop/a", USERS)
    assert reason() is None
    assert reason('[evaluation]\ntasks = ["direct"]\nmetrics = ["NDCG"]\nks = [10]\n') is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepochs = 3\n", "settings changed: training.epochs (10, now 3)"),
        ("seed = 5\n", "settings changed: seed (0, now 5)"),
        ('split = "ratio"\n', "split {'kind': 'leave-one-out', 'seed': 0}, now"),
        ('[evaluation]\ntasks = ["sequential"]\n', "sequential not measured"),
        ("[evaluation]\nmax_users = 2\n", "direct measured on all users, now 2"),
        ("[evaluation]\nnegatives = 9\n", "direct measured with 99 negatives"),
        ("[evaluation]\nks = [10, 20]\n", "direct without @20"),
        ('[evaluation]\nmetrics = ["Recall"]\n', "direct without Recall"),
        ('kind = "data"\n', "holds run figures instead of data figures"),
    ],
)
def test_something_else_is_there(reason, write_result, text, message):
    write_result("t/shop/a", USERS)
    assert message in reason(text)


def test_a_sample_counts_as_the_sample(reason, write_result):
    write_result("t/shop/a", USERS, max_users=3)
    assert reason(max_users=3) is None
    assert reason() == "direct measured on 3 users, now all"


def test_a_setting_younger_than_the_result_had_its_defaults_effect(reason, write_result):
    file = write_result("t/shop/a", USERS)
    content = json.loads(file.read_text())
    del content["run"]["config"]["prompts"]["graph_match"]
    file.write_text(json.dumps(sealed(content)))
    assert reason() is None


def test_a_file_changed_by_hand_is_measured_again(reason, write_result):
    file = write_result("t/shop/a", USERS)
    file.write_text(file.read_text().replace("0.6666", "0.9666"))
    assert "not what was sealed" in reason()


def test_figures_of_other_data_than_are_here_are_measured_again(reason, write_result, import_data):
    write_result("t/shop/a", USERS)
    checksum = import_data("shop")
    found = f"measured on other data (checksum aaaaaaaaaaaa, now {checksum[:12]})"
    assert reason() == found
    write_result("t/shop/a", USERS, checksum=checksum)
    assert reason() is None


def test_figures_of_data_that_were_imported_otherwise_are_measured_again(reason, write_result):
    write_result("t/shop/a", USERS)
    wanted = "measured on the data set shop, now shop-k_core-3"
    assert reason("[data]\nk_core = 3\n") == wanted


def test_damaged_data_are_told(reason, write_result, import_data, layout):
    import_data("shop")
    write_result("t/shop/a", USERS)
    (layout.runs / "data/shop/dataset.json").write_text("{")
    assert "dataset.json: not valid JSON" in reason()


def test_figures_of_another_version_of_the_protocol_are_measured_again(reason, write_result):
    file = write_result("t/shop/a", USERS)
    content = json.loads(file.read_text())
    content["run"]["protocol"]["version"] = 0
    file.write_text(json.dumps(sealed(content)))
    assert "fitted under honest v0, but this edgewise" in reason()


@pytest.fixture
def result(layout, write_result):
    def read(place="t/shop/full", **options):
        return read_result(write_result(place, TWO_USERS, **options), layout.results)

    return read


def test_two_contents_of_one_name_are_refused_across_tables(result):
    results = [result(), result("u/shop/full", checksum="b" * 64)]
    with pytest.raises(EdgewiseError, match=r"measured on other data than .*t/shop/full\.json"):
        check_same_data(results)
    check_same_data(results[:1])


def test_a_result_that_stands_alone_is_compared_with_the_data_on_this_machine(
    layout, result, import_data
):
    check_data([result()], layout)
    here = import_data("shop")
    check_data([result(checksum=here)], layout)
    message = (
        r"full\.json: measured on other data .*data/shop holds.*reproduce t --dataset shop --m"
    )
    with pytest.raises(EdgewiseError, match=message):
        check_data([result()], layout)


def test_a_data_set_that_was_imported_otherwise_is_another(layout, result, import_data):
    import_data("shop")
    place = "t/shop/full@elmrec-released"
    check_data([result(place, folder="runs/data/shop-item_numbers-source")], layout)


def test_a_named_data_set_counts_for_results_of_its_name_alone(
    layout, result, import_data, tmp_path
):
    import_data("shop")
    mine = import_data("shop", 6, tmp_path / "mine")
    results = [result(checksum=mine), result("t/far/full")]
    for given in (tmp_path / "mine" / "shop", tmp_path / "mine"):
        check_data(results, layout, given)
    with pytest.raises(EdgewiseError, match=r"measured on other data .* than .*mine/shop holds"):
        check_data([result()], layout, tmp_path / "mine")


def test_a_named_folder_of_nothing_that_was_measured(layout, result, import_data, tmp_path):
    import_data("shpo", below=tmp_path)
    for given in (tmp_path / "shpo", tmp_path, tmp_path / "none"):
        with pytest.raises(EdgewiseError, match=r"--data .*: no result was measured on .*'?shop"):
            check_data([result()], layout, given)


def test_what_a_folder_tells_of_itself(layout, import_data):
    folder = layout.runs / "data" / "shop"
    assert recorded_checksum(folder) is None
    assert import_data("shop") == recorded_checksum(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        recorded_checksum(folder)
