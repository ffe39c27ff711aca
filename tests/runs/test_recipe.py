"""One file tells everything about a row, and what it tells wrongly is named."""

from __future__ import annotations

import pytest

from edgewise.errors import ConfigError
from edgewise.runs.spec import (
    DataRecipe,
    EvaluationRecipe,
    Recipe,
    differences,
    read_recipe,
    resolve_config,
)

WHOLE = """
method = "fake"
preset = "tiny"
protocol = "elmrec-released"
edge_share = 0.8
split = "ratio"
split_seed = 3
seeds = [0, 1, 2]
taste = "rare"

[data]
source = "raw"
min_rating = 4
k_core = 5
item_numbers = "source"

[evaluation]
ks = [20, 40, 100]
metrics = ["Recall", "NDCG"]
tasks = ["sequential"]

[training.first]
epochs = 2
"""


@pytest.fixture
def written(tmp_path, fake):
    def write(text):
        file = tmp_path / "row.toml"
        file.write_text(text)
        return file

    return write


def test_everything_is_read(written):
    settings = {"taste": "rare", "training": {"first": {"epochs": 2}}}
    data = DataRecipe(source="raw", min_rating=4.0, k_core=5, item_numbers="source")
    evaluation = EvaluationRecipe(("sequential",), ("Recall", "NDCG"), (20, 40, 100))
    expected = Recipe(
        method="fake",
        preset="tiny",
        protocol="elmrec-released",
        edge_share=0.8,
        split="ratio",
        split_seed=3,
        seeds=(0, 1, 2),
        data=data,
        evaluation=evaluation,
        settings=settings,
    )
    assert read_recipe(written(WHOLE)) == expected
    assert data.options() == {"min_rating": 4.0, "k_core": 5, "item_numbers": "source"}


def test_the_method_of_the_file_gets_its_own_settings(written):
    config = resolve_config(None, written(WHOLE), ["seed=7"])
    assert (type(config).__name__, config.seed, config.taste) == ("FakeConfig", 7, "rare")
    assert config.training.first.epochs == 2


def test_a_file_without_a_method_is_of_the_asked_one_or_of_elmrec(written):
    file = written('preset = "tiny"\n')
    assert type(resolve_config(None, file)).__name__ == "ELMRecConfig"
    assert type(resolve_config(None, file, method="fake")).__name__ == "FakeConfig"


def test_settings_of_different_methods_differ(written):
    changed = differences(resolve_config("tiny", method="fake"), resolve_config("tiny"))
    assert 'taste ("popular", now "absent")' in changed
    assert any(each.startswith('prompts.candidate_head ("absent", now') for each in changed)
    assert not any(each.startswith("seed") for each in changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('method = "fakee"', "row.toml: no such method: 'fakee'. Did you mean 'fake'"),
        ("method = 3", "method = 3: str is wanted"),
        ("[data]\nmin_ratings = 4", "'.*data.min_ratings'. Did you mean 'min_rating'"),
        ("data = 4", "data is a section"),
        ("[evaluation]\nks = [5.5]", "evaluation.ks = 5.5: int is wanted"),
        ("seeds = [1, 1]", r"seeds = \[1, 1\] names a seed twice"),
        ("seeds = [1]\nseed = 2", "seed and seeds contradict each other"),
        ('protocol = "honset"', "row.toml: no such protocol: 'honset'. Did you mean 'honest'"),
        ('protocol = "honest"\nedge_share = 0.5', "edge_share belongs to protocols such as elmrec"),
        ('protocol = "elmrec-released"\nedge_share = 2', "edge_share = 2"),
    ],
)
def test_mistakes_are_named_with_the_file(written, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(written(text + "\n"))
    assert "row.toml" in str(caught.value)


def test_a_method_may_not_contradict_the_file(written):
    file = written('method = "fake"\n')
    with pytest.raises(ConfigError, match=r"fit elmrec contradicts method = 'fake' in .*row\.toml"):
        resolve_config(None, file, method="elmrec")
