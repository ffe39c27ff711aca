"""Cells that would train the same share a run; others never do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgewise.evaluation.protocols import find_protocol
from edgewise.experiments.grid import find_cells
from edgewise.experiments.runner import fitted_otherwise, shared_runs
from edgewise.runs.run import FINISHED, DataInfo, RunInfo
from edgewise.runs.spec import resolve_config


@pytest.fixture
def grouped(layout, write_config):
    def group(**texts):
        for name, text in texts.items():
            write_config(f"t/shop/{name}", f'preset = "tiny"\n{text}')
        runs = shared_runs(find_cells(layout, ["t"]), layout)
        return {run.name: [cell.place.name for cell in cells] for run, cells in runs.items()}

    return group


def stand(layout, cell, name, **changes):
    """A run as if it had been fitted for a cell."""
    data = DataInfo("somewhere/data/shop", "shop", "c" * 64)
    info = RunInfo(cell.settings, data, status=FINISHED)
    replace(info, **changes).write(layout.runs / name)


def test_decoding_alone_makes_no_training(grouped):
    few = "[decoding]\nnum_extra_candidates = 0\n"
    assert grouped(a="", b=few, c="seed = 1\n") == {"a": ["a", "b"], "c": ["c"]}


@pytest.mark.parametrize(
    "text",
    [
        "seeds = [7]",
        'split = "ratio"',
        'protocol = "temporal"',
        "[data]\nk_core = 3",
        "[training]\nepochs = 3",
    ],
)
def test_anything_else_does(grouped, text):
    assert len(grouped(a="", b=text)) == 2


def test_the_share_of_edges_counts_where_the_protocol_has_one(grouped):
    released = 'protocols = ["elmrec-released"]\n'
    found = grouped(a=released, b=f"{released}edge_share = 0.3\n")
    assert list(found) == ["a@elmrec-released", "b@elmrec-released"]
    assert len(grouped(a="", b="edge_share = 0.3\n")) == 1


def test_a_run_of_another_table_is_used(layout, write_config):
    write_config("t/shop/a")
    (cell,) = find_cells(layout, ["t"])
    stand(layout, cell, "older/shop/x")
    assert list(shared_runs([cell], layout)) == [layout.runs / "older/shop/x"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "training"},
        {"split_seed": 1},
        {"protocol": find_protocol("temporal")},
        {"data": DataInfo("data/shop-k_core-5", "shop", "c" * 64)},
    ],
)
def test_a_run_that_is_unfinished_or_different_is_not(layout, write_config, changes):
    write_config("t/shop/a")
    (cell,) = find_cells(layout, ["t"])
    stand(layout, cell, "older/shop/x", **changes)
    assert list(shared_runs([cell], layout)) == [layout.runs / "t/shop/a"]


def test_the_cells_own_unfinished_run_goes_before_others(layout, write_config):
    write_config("t/shop/a")
    (cell,) = find_cells(layout, ["t"])
    stand(layout, cell, "older/shop/x")
    stand(layout, cell, "t/shop/a", status="training")
    assert list(shared_runs([cell], layout)) == [layout.runs / "t/shop/a"]


def test_a_run_of_other_data_than_are_here_is_not(layout, write_config, import_data):
    write_config("t/shop/a")
    (cell,) = find_cells(layout, ["t"])
    checksum = import_data("shop")
    stand(layout, cell, "older/shop/x")
    own = layout.runs / "t/shop/a"
    assert list(shared_runs([cell], layout)) == [own]
    info = RunInfo(cell.settings, DataInfo("data/shop", "shop", "c" * 64), status=FINISHED)
    message = "a run of other settings (data (shop with checksum cccccccccccc, now shop))"
    assert fitted_otherwise(info, cell, layout) == message
    stand(layout, cell, "older/shop/y", data=DataInfo("data/shop", "shop", checksum))
    assert list(shared_runs([cell], layout)) == [layout.runs / "older/shop/y"]


def test_what_a_run_was_fitted_with_instead(layout, write_config):
    write_config("t/shop/a", 'preset = "tiny"\n[decoding]\nnum_extra_candidates = 0\n')
    (cell,) = find_cells(layout, ["t"])
    data = DataInfo("data/shop", "shop", "c" * 64)
    info = RunInfo(resolve_config("tiny", assignments=["training.epochs=3"]), data, split_seed=1)
    message = "a run of other settings (split_seed (1, now 0), training.epochs (3, now 10))"
    assert fitted_otherwise(info, cell, layout) == message
    same = RunInfo(resolve_config("tiny"), data)
    assert fitted_otherwise(same, cell, layout) is None
