"""Configurations survive the way into a file and back."""

from __future__ import annotations

import pytest

from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import PRESETS, preset
from edgewise.runs.spec import differences, resolve_config, to_toml


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_reads_back_equal(name, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(to_toml(preset(name)))
    assert resolve_config(file=file) == preset(name)


def test_unusual_values_read_back_equal(tmp_path):
    wanted = ["backbone.name='a \"b\" \\ é'", "training.learning_rate=1e-5", "graph.num_folds=3"]
    config = resolve_config("tiny", None, [*wanted, "prompts.tasks=direct"])
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert resolve_config(file=file) == config
    assert config.backbone.name == 'a "b" \\ é'


def test_differences_are_named():
    old = preset("tiny")
    new = resolve_config("tiny", None, ["seed=2", "graph.num_folds=2"])
    assert differences(old, new) == ["seed (0, now 2)", "graph.num_folds (10, now 2)"]
    assert differences(old, old) == []


def test_a_key_of_a_file_is_named_with_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[graph]\nfeaturs = 'random'\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: graph\.featurs.*'features'"):
        resolve_config(file=file)
