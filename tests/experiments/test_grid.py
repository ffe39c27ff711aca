"""Which cells a table asks for, and what is said where it cannot be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import ConfigError
from edgewise.experiments.grid import (
    CONFIGS,
    Layout,
    ResultKey,
    Selection,
    find_cells,
    read_table,
    table_names,
)

TWO = 'preset = "tiny"\nseeds = [3, 4]\nprotocols = ["honest", "elmrec-released"]\n'


@pytest.fixture
def table(layout, write_config):
    write_config("paper/table-1/beauty/full", TWO)
    write_config("paper/table-1/beauty/none")
    write_config("paper/table-1/toys/full")
    return layout


def paths(layout, selection=None, name="paper/table-1"):
    return [
        cell.key.path.removeprefix("paper/table-1/")
        for cell in find_cells(layout, [name], selection)
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
    selection = Selection(dataset="beauty", num_seeds=1, protocol="temporal", max_users=9)
    assert paths(table, selection) == ["beauty/full@temporal-seed0", "beauty/none@temporal-seed0"]
    assert paths(table, Selection(method="none", raw_lists=True)) == [
        "beauty/none",
        "beauty/none-no-rerank",
    ]
    cells = find_cells(table, ["paper/table-1/toys/full"], selection=Selection(max_users=9))
    assert [cell.options.evaluation.max_users for cell in cells] == [9]


def test_a_cell_has_its_seed_in_its_settings(table):
    seeds = [cell.settings.seed for cell in find_cells(table, ["paper/table-1/beauty/full"])]
    assert seeds == [3, 4, 3, 4]


def test_a_table_may_be_named_with_its_folder_and_asked_for_twice(table):
    spelled = f"{table.configs.as_posix()}/paper/table-1/toys"
    assert len(find_cells(table, [spelled, "paper/table-1/toys"])) == 1
    assert table_names(table.configs) == ["paper/table-1"]


@pytest.mark.parametrize(
    ("name", "selection", "message"),
    [
        ("paper/tabel-1", Selection(), "Did you mean 'paper/table-1'"),
        ("paper/table-1/beuaty", Selection(), "Did you mean 'paper/table-1/beauty'"),
        ("paper/table-1/toys/ful", Selection(), "Did you mean 'paper/table-1/toys/full'"),
        ("paper", Selection(dataset="beuaty"), "--dataset beuaty: .* Did you mean 'beauty'"),
        ("paper", Selection(method="ful"), "--method ful: .* Did you mean 'full'"),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest(table, name, selection, message):
    with pytest.raises(ConfigError, match=message):
        find_cells(table, [name], selection)


def test_no_experiments_at_all(layout):
    with pytest.raises(ConfigError, match="no tables there; name the folder: --configs"):
        find_cells(layout, ["paper"])


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("elmrec/table-2/beauty/elmrec", ResultKey("elmrec/table-2", "beauty", "elmrec")),
        ("direct/toys/best-seed10", ResultKey("direct", "toys", "best", seed=10)),
        (
            "t/d/n-0@elmrec-released-seed0-no-rerank",
            ResultKey("t", "d", "n-0", "elmrec-released", 0, True),
        ),
        ("t/d/full-seedless", ResultKey("t", "d", "full-seedless")),
    ],
)
def test_a_path_and_its_place(path: str, place: ResultKey) -> None:
    assert ResultKey.of(Path(f"{path}.json")) == place
    assert place.path == path


names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)


@given(
    st.builds(
        ResultKey,
        st.builds("{}/{}".format, names, names),
        names,
        names,
        st.sampled_from(["honest", "elmrec-released"]),
        st.none() | st.integers(0, 99),
        st.booleans(),
    )
)
def test_every_place_comes_back(place: ResultKey) -> None:
    assert ResultKey.of(Path(f"{place.path}.json")) == place


TABLE = """
preset = "tiny"
seeds = [0, 1]
training.epochs = 4
evaluation = { tasks = ["direct"] }

[datasets.beauty]
data.k_core = 5

[datasets.toys]
only = ["none", "alpha-3"]
training.epochs = 5
rows.none.training.epochs = 6

[rows.full]
training.patience = 2

[rows.none]
like = "full"
graph.rank = 0

[sweeps.alpha]
settings = ["whole_words.direct_alpha", "whole_words.sequential_alpha"]
values = [1, 3]
graph.rank = 4

[sweeps.epochs]
settings = ["training.epochs"]
values = [9]
names = "epochs-{:02}"
"""


@pytest.fixture
def written(layout):
    def write(text=TABLE):
        layout.configs.mkdir(exist_ok=True)
        (layout.configs / "t.toml").write_text(text)
        return {f"{row.dataset}/{row.name}": row for row in read_table(layout.configs, "t")}

    return write


def test_what_stands_nearer_to_a_cell_goes_before_the_rest(written):
    rows = written()
    beauty = ("full", "none", "alpha-1", "alpha-3", "epochs-09")
    assert list(rows) == [*(f"beauty/{name}" for name in beauty), "toys/none", "toys/alpha-3"]
    assert rows["beauty/full"].options.data.k_core == 5 and rows["toys/none"].options.seeds == (
        0,
        1,
    )
    trained = {name: row.config().training for name, row in rows.items()}
    assert {name: each.epochs for name, each in trained.items()} == {
        **dict.fromkeys([f"beauty/{name}" for name in beauty], 4),
        **{"beauty/epochs-09": 9, "toys/none": 6, "toys/alpha-3": 5},
    }
    assert trained["toys/none"].patience == 2 and rows["toys/none"].config().graph.rank == 0
    swept = rows["toys/alpha-3"].config()
    assert (swept.whole_words.direct_alpha, swept.whole_words.sequential_alpha) == (3.0, 3.0)
    assert swept.graph.rank == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('only = ["none", "alpha-3"]', 'only = ["nnoe"]', "toys]: no such row: 'nnoe'. Did you"),
        ("rows.none.training", "rows.nnoe.training", "toys]: no such row: 'nnoe'. Did you mean"),
        ('like = "full"', 'like = "alpha-1"', "[rows.none]: no row 'alpha-1' above it. Valid: ful"),
        ("values = [1, 3]", "values = []", "[sweeps.alpha]: give settings = "),
        (
            "graph.rank = 0",
            "grpah.rank = 0",
            "none on beauty: unknown key 'grpah'. Did you mean 'g",
        ),
        (
            "graph.rank = 0",
            "graph.rnak = 0",
            "none on beauty: unknown configuration key 'graph.rnak'",
        ),
        ('preset = "tiny"', 'preset = "tinny"', "full on beauty: unknown preset 'tinny'"),
        (
            'preset = "tiny"',
            'protocol = "honest"',
            "unknown key 'protocol'. Did you mean 'protocols'",
        ),
        ('preset = "tiny"', 'protocols = ["honset"]', "no such protocol: 'honset'. Did you mean"),
        ('preset = "tiny"', 'method = "elmrek"', "full on beauty: no such method: 'elmrek'"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "seeds = [0, 0] names a seed twice"),
        ("seeds = [0, 1]", "seeds = [0, 1]\nseed = 3", "seed and seeds contradict each other"),
        ("seeds = [0, 1]", 'kind = "vectors"', 'kind = "vectors" needs rounds'),
        (
            "[rows.full]",
            "[rows]\nfull = 3\n[rows.other]",
            "rows holds sections, such as [rows.NAME]",
        ),
    ],
)
def test_mistakes_are_told_with_file_and_row(layout, written, old, new, message):
    assert old in TABLE
    with pytest.raises(ConfigError, match=r"t\.toml: ") as caught:
        written(TABLE.replace(old, new, 1))
        find_cells(layout, ["t"])
    assert message in str(caught.value)


@pytest.mark.parametrize("lost", ["[rows.full]", "[datasets.beauty]"])
def test_a_table_has_rows_and_data_sets(written, lost):
    text = "[rows.full]\n[datasets.beauty]\n"
    assert list(written(text)) == ["beauty/full"]
    with pytest.raises(ConfigError, match=r"t\.toml: no (row|data set); add a section such as"):
        written(text.replace(lost, ""))


def test_the_table_of_the_documentation_is_one(written):
    page = Path(__file__).parents[2] / "docs" / "reproduce.md"
    text = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    names = ("full", "without-graph", "alpha-1", "alpha-3", "alpha-5")
    assert list(written(text)) == [*(f"musical_instruments/{n}" for n in names), "toys/full"]
    assert written(text)["toys/full"].config().training.epochs == 16


# Counted by hand: a row that gets lost, or is added without a result, is noticed.
NUM_CELLS = {
    "baselines": 75,
    "cold-start": 13,
    "direct": 8,
    "elmrec/figure-5": 15,
    "elmrec/figure-6": 27,
    "elmrec/figure-7": 1,
    "elmrec/figure-8": 1,
    "elmrec/table-1": 4,
    "elmrec/table-2": 16,
    "elmrec/table-3": 12,
    "elmrec/table-4": 12,
    "elmrec/table-5": 9,
    "elmrec/table-6": 15,
    "elmrec/table-7": 12,
    "elmrec/table-8": 4,
    "graph-gpt/choices": 12,
    "graph-gpt/figure-4": 9,
    "graph-gpt/figure-5": 30,
    "graph-gpt/figure-6": 36,
    "graph-gpt/table-1": 2,
    "graph-gpt/table-2": 132,
    "priors": 48,
    "reviews": 1,
    "sequential": 8,
    "ties": 32,
}


@pytest.fixture(scope="module")
def papers():
    """All cells of the package's own tables, by path."""
    return {cell.key.path: cell for cell in find_cells(Layout(), ["."])}


def test_the_papers_tables_are_all_there(papers):
    assert table_names(CONFIGS) == sorted(NUM_CELLS)
    assert Counter(cell.key.table for cell in papers.values()) == NUM_CELLS


def test_rows_of_a_table_are_trained_or_measured_differently(papers):
    seen = {}
    for path, cell in papers.items():
        told = replace(cell.key, method="")
        options = (cell.options.data, cell.options.evaluation, cell.options.cold_items)
        key = (told, cell.method, cell.settings, cell.protocol, options)
        assert seen.setdefault(str(key), path) == path


def test_spot_values_of_the_papers_tables(papers):
    toys = papers["elmrec/table-2/toys/elmrec@elmrec-released"]
    assert (toys.protocol.edge_share, toys.split) == (0.489, ("leave-one-out", 0))
    assert toys.import_options == {"item_numbers": "source"}
    pod = papers["elmrec/table-2/toys/pod@elmrec-released"]
    assert pod.protocol.edge_share == 0.535 and pod.settings.whole_words.direct == "incremental"
    assert papers["elmrec/table-7/musical_instruments/n-15-seed2"].settings.seed == 2
    gpt = papers["graph-gpt/figure-6/gift_cards/epochs-06-seed1"]
    stages = gpt.settings.training
    assert (stages.content.epochs, stages.events.epochs, stages.content.patience) == (6, 6, 0)
    assert gpt.import_options == {"min_rating": 4, "k_core": 5} and gpt.split == ("ratio", 0)
    assert gpt.options.evaluation.ks == (20, 40, 100)
    folder = Layout().data_folder(gpt)
    assert folder == Path("runs/data/gift_cards-min_rating-4-k_core-5")
