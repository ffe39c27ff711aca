"""What is left of a table is told truly, cells that train the same share a run, others never do.

The commands of a dry run are those that a person would type, and none of them makes a false figure.
"""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from edgewise.evaluation.protocols import find_protocol
from edgewise.experiments.grid import Selection, find_cells
from edgewise.experiments.plan import (
    commands_of,
    evaluate_command,
    fit_command,
    fitted_otherwise,
    import_command,
    plan_work,
    shared_runs,
)
from edgewise.models.registry import find_method
from edgewise.runs.run import FILE, FINISHED, RunInfo
from edgewise.runs.spec import DataInfo, RunSpec, resolve_config

USERS = {"HitRate@10": [0.0, 1.0]}
DATA = DataInfo("runs/data/shop", "shop", "a" * 64)
ELMREC = find_method("elmrec")


def words_of(command):
    program, *words = shlex.split(command)
    assert program == "edgewise"
    return words


ROW = """
method = "graph-gpt"
preset = "tiny"
split = "ratio"
seeds = [1, 2]
stages = ["content", "events"]

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
    imported = words_of(import_command(first, layout))
    assert imported == ["data", "import", source, *options, "--out", str(data)]
    run = layout.run_folder(second.key)
    assert run == layout.runs / "ablation/gifts/full-seed2"
    changes = ["--set", "seed=2", "--set", "stages=content,events", "--split", "ratio"]
    fitted = words_of(fit_command(second, layout, run, "fit"))
    words = ["fit", "graph-gpt", "--data", str(data), "--preset", "tiny", *changes]
    assert fitted == [*words, "--out", str(run)]
    lists = ["--task", "sequential", "--metric", "Recall", "--metric", "NDCG", "-k", "20"]
    measured = words_of(evaluate_command(second, layout, run, second.settings))
    assert measured[:-4] == ["evaluate", str(run), *lists, "-k", "100"]
    users = str(layout.runs / "per-user/ablation/gifts/full-seed2")
    result = str(layout.results / "ablation/gifts/full-seed2.json")
    assert measured[-4:] == ["--per-user", users, "--json", result]


def test_a_row_that_says_nothing_is_elmrecs_as_it_always_was(layout, write_config):
    text = 'preset = "tiny"\n'
    cell, raw = cells(layout, write_config, text, max_users=9, raw_lists=True)
    run, data = layout.run_folder(raw.key), str(layout.runs / "data" / "gifts")
    assert run == layout.run_folder(cell.key) == layout.runs / "ablation/gifts/full"
    source = str(layout.raw / "gifts")
    assert words_of(import_command(cell, layout)) == ["data", "import", source, "--out", data]
    fitted = words_of(fit_command(cell, layout, run, "fit"))
    assert fitted == ["fit", "elmrec", "--data", data, "--preset", "tiny", "--out", str(run)]
    measured = words_of(evaluate_command(raw, layout, run, raw.settings))
    assert measured[2:7] == ["--task", "sequential", "--max-users", "9", "--include-seen"]
    assert measured[-1].endswith("/full-no-rerank.json")
    resumed = words_of(fit_command(cell, layout, run, "resume"))
    assert resumed == ["fit", "elmrec", "--resume", "--out", str(run)]


def test_a_released_protocol_has_data_of_its_own(layout, write_config):
    text = 'preset = "tiny"\nprotocols = ["elmrec-released"]\nedge_share = 0.489\n'
    (cell,) = cells(layout, write_config, text)
    assert layout.data_folder(cell).name == "gifts-item_numbers-source"
    assert words_of(import_command(cell, layout))[3:5] == ["--item-numbers", "source"]
    words = words_of(fit_command(cell, layout, layout.run_folder(cell.key), "fit"))
    assert words[-6:-2] == ["--protocol", "elmrec-released", "--edge-share", "0.489"]


def test_decoding_that_a_run_was_not_fitted_with_is_set_when_it_is_measured(layout, write_config):
    text = 'preset = "tiny"\n\n[decoding]\nrerank_extra = 5\nrerank = false\n'
    (cell,) = cells(layout, write_config, text)
    run = layout.run_folder(cell.key)
    words = words_of(evaluate_command(cell, layout, run, ELMREC.preset_config("tiny")))
    assert words[2:7] == [
        *("--set", "decoding.rerank_extra=5"),
        *("--set", "decoding.rerank=false", "--include-seen"),
    ]


def test_the_settings_of_a_command_are_the_cells(layout, write_config):
    text = 'preset = "cpu"\nseed = 4\ngraph.rank = 0\nprompts.tasks = ["direct"]\n'
    (cell,) = cells(layout, write_config, f"{text}training.learning_rate = 2e-3\n")
    words = words_of(fit_command(cell, layout, layout.run_folder(cell.key), "fit"))
    given = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    assert len(given) == 4 and resolve_config(ELMREC, "cpu", None, given) == cell.settings


@pytest.fixture
def left(layout, write_config):
    """The commands for a row ``a``, with the words of its configuration."""

    def commands(text="", *, force=False, **choice):
        write_config("t/shop/a", f'preset = "tiny"\n{text}')
        work = plan_work(find_cells(layout, ["t"], Selection(**choice)), layout)
        return commands_of(work, layout, force=force)

    return commands


@pytest.fixture
def imported(layout):
    (layout.runs / "data/shop").mkdir(parents=True)


def begin(layout, *changes, status=FINISHED):
    spec = RunSpec("elmrec", resolve_config(ELMREC, "tiny", None, changes), DATA)
    RunInfo(spec, status).write(layout.runs / "t/shop/a")


def verbs(lines):
    return [shlex.split(line)[1] for line in lines]


def test_everything_from_the_start_and_then_nothing(left, write_result):
    assert verbs(left()) == ["data", "fit", "evaluate"]
    write_result("t/shop/a", USERS)
    assert left() == []


@pytest.mark.usefixtures("imported")
def test_a_fitted_run_is_only_measured(layout, left):
    begin(layout)
    assert verbs(left()) == ["evaluate"]


@pytest.mark.usefixtures("imported")
def test_an_unfinished_training_is_resumed_first(layout, left):
    begin(layout, status="training")
    fit, evaluate = map(shlex.split, left())
    assert fit[:4] == ["edgewise", "fit", "elmrec", "--resume"] and evaluate[1] == "evaluate"


@pytest.mark.usefixtures("imported")
def test_a_run_of_other_settings_is_told_and_never_measured(layout, left, write_result):
    begin(layout)
    write_result("t/shop/a", USERS)
    changed = "[training]\nepochs = 3\n"
    (line,) = left(changed)
    start = f"# {layout.runs}/t/shop/a holds a run of other settings (training.epochs (10, now 3))"
    assert line == f"{start}: the same with --force replaces it"
    fit, evaluate = map(shlex.split, left(changed, force=True))
    assert "--force" in fit and evaluate[1] == "evaluate"


@pytest.mark.usefixtures("imported")
def test_a_run_that_cannot_be_read_is_told(layout, left):
    begin(layout)
    (layout.runs / "t/shop/a" / FILE).write_text("{")
    (line,) = left()
    assert line.startswith("# ") and "run.json: not valid JSON" in line


@pytest.mark.parametrize("kind", ['kind = "data"\n', 'kind = "vectors"\nrounds = [1]\n'])
def test_cells_without_a_model_are_left_as_others_are(layout, left, kind):
    imported, described = map(shlex.split, left(kind))
    assert imported[1:3] == ["data", "import"]
    assert described[:3] == ["edgewise", "reproduce", "t"]
    options = dict(zip(described[3::2], described[4::2], strict=True))
    assert options == {
        **{"--dataset": "shop", "--method": "a", "--raw-data": str(layout.raw)},
        **{f"--{name}": str(getattr(layout, name)) for name in ("configs", "results", "runs")},
    }


@pytest.fixture
def grouped(layout, write_config):
    def group(**texts):
        for name, text in texts.items():
            write_config(f"t/shop/{name}", f'preset = "tiny"\n{text}')
        runs = shared_runs(find_cells(layout, ["t"]), layout)
        return {run.name: [cell.key.name for cell in cells] for run, cells in runs.items()}

    return group


def stand(layout, cell, name, **changes):
    """A run as if it had been fitted for a cell."""
    status = changes.pop("status", FINISHED)
    data = DataInfo("somewhere/data/shop", "shop", "c" * 64)
    spec = replace(RunSpec("elmrec", cell.settings, data), **changes)
    RunInfo(spec, status).write(layout.runs / name)


@pytest.mark.parametrize("text", ["[decoding]\nrerank_extra = 0\n", "priors.relearn = true\n"])
def test_what_only_answers_read_makes_no_training(grouped, text):
    assert grouped(a="", b=text, c="seed = 1\n") == {"a": ["a", "b"], "c": ["c"]}


@pytest.mark.parametrize(
    "text",
    [
        "seeds = [7]",
        'split = "ratio"',
        'protocols = ["temporal"]',
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


@pytest.mark.parametrize("place", ["older/shop/.x.partial", "older/.shop.old/x"])
def test_a_run_that_is_being_removed_is_not(layout, write_config, place):
    write_config("t/shop/a")
    (cell,) = find_cells(layout, ["t"])
    stand(layout, cell, place)
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
    info = RunInfo(RunSpec("elmrec", cell.settings, DataInfo("data/shop", "shop", "c" * 64)))
    message = "a run of other settings (data (shop with checksum cccccccccccc, now shop))"
    assert fitted_otherwise(info, cell, layout) == message
    stand(layout, cell, "older/shop/y", data=DataInfo("data/shop", "shop", checksum))
    assert list(shared_runs([cell], layout)) == [layout.runs / "older/shop/y"]


def test_what_a_run_was_fitted_with_instead(layout, write_config):
    write_config("t/shop/a", 'preset = "tiny"\n[decoding]\nrerank_extra = 0\n')
    (cell,) = find_cells(layout, ["t"])
    data = DataInfo("data/shop", "shop", "c" * 64)
    other = resolve_config(ELMREC, "tiny", None, ["training.epochs=3"])
    info = RunInfo(RunSpec("elmrec", other, data, split_seed=1))
    message = "a run of other settings (split_seed (1, now 0), training.epochs (3, now 10))"
    assert fitted_otherwise(info, cell, layout) == message
    same = RunInfo(RunSpec("elmrec", ELMREC.preset_config("tiny"), data))
    assert fitted_otherwise(same, cell, layout) is None
