"""Results of other data than this machine has under the same name are refused, alone or not."""

from __future__ import annotations

import pytest

from edgewise.errors import DataError, EdgewiseError
from edgewise.experiments.results import check_data, check_same_data, read_result, recorded_checksum

USERS = {"HitRate@10": [0.0, 1.0]}


@pytest.fixture
def result(layout, write_result):
    def read(place="t/shop/full", **options):
        return read_result(write_result(place, USERS, **options), layout.results)

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
    with pytest.raises(DataError, match="damaged"):
        recorded_checksum(folder)
