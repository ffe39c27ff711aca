"""Settings that make no sense are refused before anything is trained."""

from __future__ import annotations

import pytest

from edgewise.config import preset_config, to_dict, updated, with_overrides
from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.config import (
    PRESETS,
    AttentionConfig,
    GraphGPTConfig,
    HistoryConfig,
)


def preset(name: str) -> GraphGPTConfig:
    return preset_config(GraphGPTConfig, PRESETS, name)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("attention.delta=1.0", "attention.delta = 1.0: must be below 1"),
        ("attention.delta=0.0", "attention.delta = 0.0: must be above 0"),
        ("attention.max_path=0", "attention.max_path = 0: must be at least 1"),
        ("attention.kind=grahp", "attention.kind = 'grahp'.*'graph'"),
        ("stages=content", "add one that learns to recommend"),
        ("stages=[]", "stages is empty"),
        ("stages=sequence,sequence", "names a stage twice"),
        ("training.events.validation_metric=NDCG@10", "training.events.*chooses its epoch by loss"),
        ("stages=sequenc", "stages = 'sequenc'.*'sequence'"),
        ("lambda_v=-1", "lambda_v = -1: must be at least 0"),
        ("history.max_items=0", "history.max_items = 0: must be at least 1"),
        ("history.mask_rate=1.0", "history.mask_rate = 1.0: must be below 1"),
        ("history.user_dropout=2.0", "history.user_dropout = 2.0: must be at most 1"),
        ("backbone.max_tokens=8", "max_tokens = 8: must be at least 16"),
        ("backbone.dropout=1.0", "backbone.dropout = 1.0: must be below 1"),
        ("backbone.attention_dropout=1.0", "backbone.attention_dropout = 1.0: must be below 1"),
        ("backbone.init_std=0.0", "backbone.init_std = 0.0: must be above 0"),
        ("content.window=1", "content.window = 1: must be at least 2"),
        ("decoding.min_explanation_tokens=99", "must lie in 0..decoding.explanation_tokens"),
        ("training.sequence.epochs=0", "epochs = 0: must be at least 1"),
    ],
)
def test_impossible_values(setting, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(GraphGPTConfig(), [setting])


def test_settings_that_contradict_each_other():
    with pytest.raises(ConfigError, match="put content first"):
        with_overrides(GraphGPTConfig(), ["stages=sequence", "lambda_v=0.1"])
    with pytest.raises(ConfigError, match=r"needs a history\.mask_rate above 0"):
        with_overrides(GraphGPTConfig(), ["history.mask_rate=0.0", "history.targets=masked"])
    with pytest.raises(ConfigError, match=r"name some in priors\.names"):
        with_overrides(GraphGPTConfig(), ["sequence.residual=true"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = preset(name)
    assert updated(GraphGPTConfig(), to_dict(config)) == config


def test_there_are_five_presets_and_others_are_refused():
    assert list(PRESETS) == ["tiny", "cpu", "cpu-stages", "paper", "paper-from-scratch"]
    with pytest.raises(ConfigError, match=r"unknown preset 'cpv'.*'cpu'"):
        preset("cpv")


def test_the_papers_stages():
    config = preset("paper")
    assert config.stages == ("content", "events", "predictive")
    epochs = [config.training.of(stage).epochs for stage in config.stages]
    assert epochs == [10, 100, 50]
    assert config.history.order == "set" and config.history.mask_rate == 0.2
    assert config.history.user_dropout == 0 and config.content.max_text_tokens >= 1000
    for stage in config.stages:
        training = config.training.of(stage)
        assert training.patience == 0 and training.weight_decay == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionConfig(kind="grahp"), "attention.kind = 'grahp'.*'graph'"),  # type: ignore[arg-type]
        (lambda: AttentionConfig(path="realesed"), "attention.path = .*mean 'released'"),  # type: ignore[arg-type]
        (lambda: HistoryConfig(order="tim"), "history.order = 'tim'.*'time'"),  # type: ignore[arg-type]
        (lambda: HistoryConfig(targets="al"), "history.targets = 'al'.*'all'"),  # type: ignore[arg-type]
        (lambda: GraphGPTConfig(stages=("event",)), "stages = 'event'.*'events'"),  # type: ignore[arg-type]
    ],
)
def test_names_are_checked_in_python_too(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
