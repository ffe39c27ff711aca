"""The commands of a cell are those that a person would type."""

from __future__ import annotations

from edgewise.experiments.describing import (
    data_folder,
    evaluate_command,
    fit_command,
    import_command,
    resume_command,
)
from edgewise.experiments.grid import Selection, find_cells
from edgewise.experiments.runner import own_run
from edgewise.runs.spec import resolve_config

ROW = """
method = "graph-gpt"
preset = "tiny"
split = "ratio"
seeds = [1, 2]

[data]
source = "raw/gifts"
min_rating = 4
k_core = 5

[evaluation]
tasks = ["sequential"]
metrics = ["Recall", "NDCG"]
ks = [20, 100]
"""


def cells(layout, write_config, text, **choice):
    write_config("ablation/gifts/full", text)
    return find_cells(layout, ["ablation"], Selection(**choice))


def test_a_row_of_two_seeds(layout, write_config):
    first, second = cells(layout, write_config, ROW)
    data = layout.runs / "data" / "gifts-raw-gifts-min_rating-4-k_core-5"
    options = ["--name", "gifts", "--min-rating", "4.0", "--k-core", "5"]
    source = str(layout.raw / "raw" / "gifts")
    assert import_command(first, layout) == ["data", "import", source, *options, "--out", str(data)]
    run = own_run(second, layout)
    assert run == layout.runs / "ablation/gifts/full-seed2"
    config = str(layout.experiments / "ablation/gifts/full.toml")
    words = ["fit", "graph-gpt", "--data", str(data), "--config", config, "--set", "seed=2"]
    assert fit_command(second, layout, run) == [*words, "--out", str(run)]
    lists = ["--task", "sequential", "--metric", "Recall", "--metric", "NDCG", "-k", "20"]
    measured = evaluate_command(second, layout, run, second.settings)
    assert measured[:-4] == ["evaluate", str(run), *lists, "-k", "100"]
    users = str(layout.runs / "per-user/ablation/gifts/full-seed2")
    result = str(layout.results / "ablation/gifts/full-seed2.json")
    assert measured[-4:] == ["--per-user", users, "--json", result]


def test_a_row_that_says_nothing_is_elmrecs_as_it_always_was(layout, write_config):
    text = 'preset = "tiny"\n'
    cell, raw = cells(layout, write_config, text, max_users=9, raw_lists=True)
    run, data = own_run(raw, layout), str(layout.runs / "data" / "gifts")
    assert run == own_run(cell, layout) == layout.runs / "ablation/gifts/full"
    source = str(layout.raw / "gifts")
    assert import_command(cell, layout) == ["data", "import", source, "--out", data]
    assert fit_command(cell, layout, run)[:4] == ["fit", "elmrec", "--data", data]
    measured = evaluate_command(raw, layout, run, raw.settings)
    assert measured[2:7] == ["--task", "sequential", "--max-users", "9", "--no-rerank"]
    assert measured[-1].endswith("/full-no-rerank.json")
    assert resume_command(cell, run) == ["fit", "elmrec", "--resume", "--out", str(run)]


def test_a_released_protocol_has_data_of_its_own(layout, write_config):
    text = 'preset = "tiny"\nprotocols = ["elmrec-released"]\nedge_share = 0.489\n'
    (cell,) = cells(layout, write_config, text)
    assert data_folder(cell, layout).name == "gifts-item_numbers-source"
    assert import_command(cell, layout)[3:5] == ["--id-order", "source"]
    words = fit_command(cell, layout, own_run(cell, layout))
    assert words[words.index("--protocol") + 1] == "elmrec-released"


def test_decoding_that_a_run_was_not_fitted_with_is_set_when_it_is_measured(layout, write_config):
    text = 'preset = "tiny"\n\n[decoding]\nnum_extra_candidates = 5\nrerank = false\n'
    (cell,) = cells(layout, write_config, text)
    words = evaluate_command(cell, layout, own_run(cell, layout), resolve_config("tiny"))
    assert words[2:7] == [
        *("--set", "decoding.num_extra_candidates=5"),
        *("--set", "decoding.rerank=false", "--no-rerank"),
    ]
