"""What may be searched is checked before anything is trained."""

from __future__ import annotations

import pytest

from edgewise.errors import ConfigError
from edgewise.experiments.tune import Range, read_space

WHOLE = """
preset = "tiny"
objective = "direct/NDCG@10"

[training]
epochs = 1

[space."whole_words.direct_scale"]
low = 1.0
high = 10.0
log = true

[space."graph.rank"]
choices = [16, 32]

[space."prompts.max_history"]
low = 5
high = 20
step = 5
"""


@pytest.fixture
def read(tmp_path):
    def read(text, method="elmrec", assignments=()):
        file = tmp_path / "space.toml"
        file.write_text(text)
        return read_space(file, method, assignments)

    return read


def test_everything_is_read(read):
    space = read(WHOLE, assignments=["seed=3"])
    assert (space.task, space.metric, space.k) == ("direct", "NDCG@10", 10)
    assert (space.objective, space.direction) == ("direct/NDCG@10", "maximize")
    assert (space.base.training.epochs, space.base.seed) == (1, 3)
    scale, rank, history = space.ranges
    assert scale == Range("whole_words.direct_scale", (), 1.0, 10.0, log=True)
    assert rank.examples() == (16, 32) and history.whole and not scale.whole


def test_the_settings_of_a_trial(read):
    space = read(WHOLE)
    values = {"whole_words.direct_scale": 2.5, "graph.rank": 16, "prompts.max_history": 10}
    config = space.settings(values)
    assert (config.whole_words.direct_scale, config.graph.rank) == (2.5, 16)
    assert config.training.epochs == 1


def test_the_loss_is_searched_downwards(read):
    space = read('preset = "tiny"\n[space."graph.rank"]\nlow = 8\nhigh = 32\n')
    assert (space.task, space.objective, space.direction) == ("", "loss", "minimize")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"graph.rank"', '"graph.rnak"', "no such setting. Did you mean 'graph.rank'"),
        ("low = 5\n", "", "give low and high, or choices"),
        ("low = 5\n", "low = 50\n", "low = 50 must be below high = 20"),
        ("step = 5", "stpe = 5", "unknown key 'stpe'. Did you mean 'step'"),
        ("choices = [16, 32]", "choices = [16, 32]\nlow = 1", "choices stand alone"),
        ("choices = [16, 32]", "choices = []", "choices is empty"),
        ("log = true", "log = true\nstep = 1.0", "log and step exclude each other"),
        ("low = 1.0", "low = 0.0", "with log, low must be above 0"),
        ("direct/NDCG@10", "drect/NDCG@10", "Did you mean 'direct'"),
        ("direct/NDCG@10", "direct/NDGC@10", "did you mean 'NDCG'"),
        ("epochs = 1", "epoch = 1", "Did you mean 'epochs'"),
        ("choices = [16, 32]", 'choices = ["many"]', "graph.rank = 'many': int is wanted"),
        ("high = 20", "high = 20.5", "prompts.max_history = 20.5: int is wanted"),
        ("direct/NDCG@10", "direct/NDCG@0", "lists of at least 1 item"),
        ("direct/NDCG@10", "direct/NDCG", 'write "loss", or as "direct/NDCG@10"'),
        ('"direct/NDCG@10"', "3", "objective = 3: write"),
        ("low = 1.0", 'low = "a"', "direct_scale\"]: low = 'a': a number is wanted"),
        ("low = 5", "low = true", "low = True: a number is wanted"),
        ("high = 10.0", "high = inf", "high = inf: a number is wanted"),
        ("log = true", 'log = "yes"', "log = 'yes': true or false is wanted"),
        ("step = 5", "step = 0", "step = 0 must be above 0"),
        ("step = 5", "step = 2.5", "step = 2.5: between whole numbers"),
        ("choices = [16, 32]", "choices = 5", "choices = 5: a list is wanted"),
        ('preset = "tiny"', "preset = 3", "preset = 3: the name of a preset is wanted"),
        ("epochs = 1", "epochs = 0", "training.epochs must be at least 1"),
        ("epochs = 1", '[prompts]\ntasks = ["sequential"]', "objective: 'direct' is not among"),
        (
            "choices = [16, 32]",
            """low = 8
high = 9
[space."prompts.tasks"]
choices = [["direct"], ["sequential"]]""",
            "tasks\"]: 'direct' is not among",
        ),
        ('preset = "tiny"', 'preset = "tiny"\nmethod = "graph-gpt"', "contradicts 'tune elmrec'"),
    ],
)
def test_mistakes(read, old, new, message):
    assert old in WHOLE
    with pytest.raises(ConfigError, match=r"space\.toml: ") as caught:
        read(WHOLE.replace(old, new, 1))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "space = 3\n", "space = {}\n"])
def test_nothing_to_search(read, text):
    with pytest.raises(ConfigError, match=r"space\.toml: nothing to search"):
        read(f'preset = "tiny"\n{text}')


def test_the_trained_tasks_may_be_searched_where_each_choice_has_the_objective(read):
    searched = '[space."prompts.tasks"]\nchoices = [["direct"], ["direct", "sequential"]]\n'
    text = 'preset = "tiny"\nobjective = "direct/NDCG@10"\n'
    assert read(f'{text}[prompts]\ntasks = ["sequential"]\n{searched}').task == "direct"


def test_a_method_without_a_choice_of_tasks(read):
    text = 'objective = "sequential/NDCG@10"\n[space."backbone.dropout"]\nlow = 0.0\nhigh = 0.5\n'
    assert read(f'preset = "tiny"\n{text}', method="graph-gpt").task == "sequential"
