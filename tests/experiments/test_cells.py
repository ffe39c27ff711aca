"""Which cells a table asks for, and what is said where it does not exist."""

from __future__ import annotations

import pytest

from edgewise.errors import ConfigError
from edgewise.experiments.grid import Selection, find_cells, table_names

TWO = 'preset = "tiny"\nseeds = [3, 4]\nprotocols = ["honest", "elmrec-released"]\n'


@pytest.fixture
def table(layout, write_config):
    write_config("paper/table-1/beauty/full", TWO)
    write_config("paper/table-1/beauty/none")
    write_config("paper/table-1/toys/full")
    return layout


def paths(layout, choice=None, name="paper/table-1"):
    return [
        cell.place.path.removeprefix("paper/table-1/")
        for cell in find_cells(layout, [name], choice)
    ]


def test_seeds_and_protocols_of_the_configuration(table):
    assert paths(table) == [
        "beauty/full-seed3",
        "beauty/full-seed4",
        "beauty/full@elmrec-released-seed3",
        "beauty/full@elmrec-released-seed4",
        "beauty/none",
        "toys/full",
    ]


def test_the_command_line_goes_before_the_configuration(table):
    choice = Selection(dataset="beauty", num_seeds=1, protocol="temporal", max_users=9)
    assert paths(table, choice) == ["beauty/full@temporal-seed0", "beauty/none@temporal-seed0"]
    assert paths(table, Selection(method="none", raw_lists=True)) == [
        "beauty/none",
        "beauty/none-no-rerank",
    ]
    cells = find_cells(table, ["paper/table-1/toys/full.toml"], choice=Selection(max_users=9))
    assert [cell.recipe.evaluation.max_users for cell in cells] == [9]


def test_a_cell_has_its_seed_in_its_settings(table):
    seeds = [cell.settings.seed for cell in find_cells(table, ["paper/table-1/beauty/full.toml"])]
    assert seeds == [3, 4, 3, 4]


def test_a_table_may_be_named_with_its_folder_and_asked_for_twice(table):
    spelled = f"{table.experiments.as_posix()}/paper/table-1/toys"
    assert len(find_cells(table, [spelled, "paper/table-1/toys"])) == 1
    assert table_names(table.experiments) == ["paper/table-1"]


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("paper/tabel-1", Selection(), "Did you mean 'paper/table-1'"),
        ("paper", Selection(dataset="beuaty"), "--dataset beuaty: .* Did you mean 'beauty'"),
        ("paper", Selection(method="ful"), "--method ful: .* Did you mean 'full'"),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest(table, name, choice, message):
    with pytest.raises(ConfigError, match=message):
        find_cells(table, [name], choice)


def test_no_experiments_at_all(layout):
    with pytest.raises(ConfigError, match="no configurations there; name the folder"):
        find_cells(layout, ["paper"])
