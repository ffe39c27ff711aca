"""What is asked for is resolved once, and what contradicts itself is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.fake_method import FakeConfig

from edgewise.config import differences, to_toml, updated
from edgewise.errors import ConfigError, DataError
from edgewise.evaluation.protocols import HONEST, PROTOCOLS, find_protocol
from edgewise.models.registry import METHODS, find_method
from edgewise.runs.spec import (
    DataInfo,
    RunSpec,
    Wanted,
    check_settings,
    read_wanted,
    resolve_config,
    resolve_spec,
    setting_of,
    wanted_from,
)

DATA = DataInfo("data/x", "x", "0" * 64)
WHOLE = """
method = "fake"
preset = "tiny"
protocol = "elmrec-released"
edge_share = 0.8
split = "ratio"
split_seed = 3
taste = "rare"

[training.first]
epochs = 2
"""


@pytest.fixture
def written(tmp_path, fake):
    def write(text):
        file = tmp_path / "row.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def resolved(method=None, *assignments, file=None, preset=None):
    """The configuration of a run asked for so."""
    return resolve_spec(Wanted(method, preset), assignments, file=file, data=DATA).config


def test_everything_is_read(written):
    assert read_wanted(written(WHOLE)) == Wanted(
        method="fake",
        preset="tiny",
        protocol="elmrec-released",
        edge_share=0.8,
        split="ratio",
        split_seed=3,
        settings={"taste": "rare", "training": {"first": {"epochs": 2}}},
    )


def test_a_file_becomes_one_specification(written):
    spec = resolve_spec(Wanted(), file=written(WHOLE), data=DATA, command="edgewise fit")
    training = {"first": {"epochs": 2}}
    config = updated(FakeConfig(), {"taste": "rare", "training": training})
    protocol = find_protocol("elmrec-released", edge_share=0.8)
    assert spec == RunSpec("fake", config, DATA, protocol, "ratio", 3, "edgewise fit")


def test_the_method_of_the_file_gets_its_own_settings(written):
    config = resolved(None, "seed=7", file=written(WHOLE))
    assert (type(config).__name__, config.seed, config.taste) == ("FakeConfig", 7, "rare")
    assert config.training.first.epochs == 2


def test_a_file_without_a_method_is_of_the_asked_one_or_of_elmrec(written):
    file = written('preset = "tiny"\n')
    assert type(resolved(file=file)).__name__ == "ELMRecConfig"
    assert type(resolved("fake", file=file)).__name__ == "FakeConfig"


def test_preset_then_file_then_assignments(written):
    file = written('preset = "tiny"\nseed = 4\n[training]\nepochs = 7\nbatch_size = 8\n')
    config = resolved("elmrec", "training.batch_size=9", file=file)
    assert (config.backbone.name, config.seed) == ("tiny", 4)
    assert (config.training.epochs, config.training.batch_size) == (7, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('method = "fakee"', "row.toml: no such method: 'fakee'. Did you mean 'fake'"),
        ("method = 3", "method = 3: str is wanted"),
        ("split_seed = true", "split_seed = True: int is wanted"),
        ('edge_share = "much"', "edge_share = 'much': float is wanted"),
        ('protocol = "honset"', "row.toml: no such protocol: 'honset'. Did you mean 'honest'"),
        ('protocol = "honest"\nedge_share = 0.5', "edge_share belongs to protocols such as elmrec"),
        ('protocol = "elmrec-released"\nedge_share = 2', "edge_share = 2"),
    ],
)
def test_mistakes_are_named_with_the_file(written, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_wanted(written(text + "\n"))
    assert "row.toml" in str(caught.value)


def test_values_that_were_read_elsewhere_are_checked_alike():
    assert wanted_from({"split": "time", "seed": 3}, "") == Wanted(
        split="time", settings={"seed": 3}
    )
    with pytest.raises(ConfigError, match=r"table\.toml: split = 3: str is wanted"):
        wanted_from({"split": 3}, "table.toml: ")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Wanted("elmrec"), r"fit elmrec contradicts method = 'fake' in .*row\.toml"),
        (Wanted(preset="cpu"), "--preset cpu contradicts preset = 'tiny' in"),
        (Wanted(split="time"), "--split time contradicts split = 'ratio' in"),
        (Wanted(split_seed=0), "--split-seed 0 contradicts split_seed = 3 in"),
    ],
)
def test_the_command_line_may_not_contradict_the_file(written, asked, message):
    with pytest.raises(ConfigError, match=message):
        resolve_spec(asked, file=written(WHOLE), data=DATA)


def test_the_command_line_may_say_the_same_and_names_the_protocol_first(written):
    file = written(WHOLE)
    same = Wanted("fake", "tiny", split="ratio", split_seed=3)
    assert resolve_spec(same, file=file, data=DATA) == resolve_spec(Wanted(), file=file, data=DATA)
    assert resolve_spec(Wanted(edge_share=0.4), file=file, data=DATA).protocol.edge_share == 0.4
    assert resolve_spec(Wanted(protocol="honest"), file=file, data=DATA).protocol == HONEST


def test_a_run_that_is_gone_on_with_stands_where_nobody_says_otherwise(fake):
    base = resolve_spec(Wanted("fake", split="ratio", split_seed=2), ["seed=4"], data=DATA)
    assert base.changes(resolve_spec(Wanted("fake"), base=base)) == []
    other = resolve_spec(Wanted("fake", split="time"), ["taste=rare"], base=base)
    assert base.changes(other) == ['taste ("popular", now "rare")', "--split (ratio, now time)"]
    assert (other.config.seed, other.split_seed, other.data) == (4, 2, DATA)


def test_the_protocol_decides_the_split_where_nobody_does(fake):
    assert resolve_spec(Wanted("fake"), data=DATA).split_kind == "leave-one-out"
    assert resolve_spec(Wanted("fake", protocol="temporal"), data=DATA).split_kind == "time"
    with pytest.raises(ConfigError, match="--edge-share needs --protocol"):
        resolve_spec(Wanted("fake", edge_share=0.8), data=DATA)


# Configurations survive the way into a file and back.

PRESETS = [(name, preset) for name in METHODS for preset in METHODS[name].presets]


@pytest.mark.parametrize(("method", "preset"), PRESETS)
def test_every_preset_reads_back_equal(method, preset, written):
    config = find_method(method).preset_config(preset)
    file = written(to_toml(config, method))
    assert resolved(file=file) == resolved(method, file=file) == config


def test_unusual_values_read_back_equal(written):
    wanted = ["backbone.name='a \"b\" \\ é'", "training.learning_rate=1e-5", "graph.num_folds=3"]
    config = resolved("elmrec", *wanted, "prompts.tasks=direct", preset="tiny")
    assert resolved(file=written(to_toml(config))) == config
    assert config.backbone.name == 'a "b" \\ é'


def test_settings_that_fit_only_together_may_come_in_any_order():
    method = find_method("elmrec")
    wanted = ["decoding.explanation_beams=10", "decoding.explanation_groups=5"]
    configs = [resolve_config(method, "tiny", None, order) for order in (wanted, wanted[::-1])]
    assert configs[0] == configs[1]


def test_settings_of_different_methods_differ(fake):
    changed = differences(resolved("fake"), resolved("elmrec"))
    assert 'taste ("popular", now "absent")' in changed
    assert any(each.startswith('prompts.candidate_head ("absent", now') for each in changed)
    assert not any(each.startswith("seed") for each in changed)


def test_a_key_of_a_file_is_named_with_the_file(written):
    with pytest.raises(ConfigError, match=r"row\.toml: graph\.featurs.*'features'"):
        resolved("elmrec", file=written("[graph]\nfeaturs = 'random'\n"))


def test_a_value_of_a_file_is_named_with_the_file(written):
    with pytest.raises(ConfigError, match=r"row\.toml: training\.epochs = 0: must be at least 1"):
        resolved("elmrec", file=written("[training]\nepochs = 0\n"))


def test_a_setting_that_a_method_lacks_has_the_default():
    config = FakeConfig()
    assert setting_of(config, "decoding.rerank", None) is None
    assert setting_of(config, "training.first.epochs", 0) == config.training.first.epochs > 0


# The split of a specification.


def test_an_honest_run_refuses_numbers_that_tell(spec, data):
    numbered = replace(data[0], source={**data[0].source, "item_numbers": "source"})
    with pytest.raises(DataError, match="keeps its source's numbers"):
        spec.split(numbered)
    assert len(spec.split(data[0]).test) == 60


@pytest.mark.parametrize("name", PROTOCOLS)
def test_texts_dealt_at_random_belong_to_the_protocol_that_says_so(name):
    config = find_method("elmrec").preset_config("tiny")
    leaking = updated(config, {"prompts": {"explanations": "random"}})
    protocol = find_protocol(name)
    check_settings(protocol, config)
    if protocol.explanation_rows == "own part":
        with pytest.raises(ConfigError, match=r"prompts\.explanations = 'random' trains on texts"):
            check_settings(protocol, leaking)
    else:
        check_settings(protocol, leaking)


def test_cold_items_are_kept_and_gone_on_with(written):
    spec = resolve_spec(Wanted(cold_items=0.25, split_seed=3), data=DATA)
    assert (spec.cold_share, spec.split_seed) == (0.25, 3)
    assert resolve_spec(Wanted(), base=spec).cold_share == 0.25
    other = resolve_spec(Wanted(cold_items=0.5), base=spec)
    assert spec.changes(other) == ["--cold-items (0.25, now 0.5)"]
    assert resolve_spec(Wanted(), file=written("cold_items = 0.1"), data=DATA).cold_share == 0.1
    with pytest.raises(ConfigError, match=r"--cold-items 0\.2 contradicts cold_items = 0\.1"):
        resolve_spec(Wanted(cold_items=0.2), file=written("cold_items = 0.1"), data=DATA)
