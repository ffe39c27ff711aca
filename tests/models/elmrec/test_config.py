"""Presets parse, and impossible settings are refused."""

from __future__ import annotations

import pytest

from edgewise.config import preset_config, to_dict, updated, with_overrides
from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import PRESETS, ELMRecConfig, GraphConfig

PUBLISHED = {"paper-beauty", "paper-sports", "paper-toys", "pod", "p5", "t5"}
NAMES = {"tiny", "cpu", "cpu-spelled", *PUBLISHED, *(f"{name}-from-scratch" for name in PUBLISHED)}


def preset(name: str) -> ELMRecConfig:
    return preset_config(ELMRecConfig, PRESETS, name)


def test_these_are_the_presets():
    assert set(PRESETS) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_preset_survives_its_written_form(name):
    config = preset(name)
    assert updated(ELMRecConfig(), to_dict(config)) == config


def test_the_papers_settings():
    """Table 9 of the paper."""
    found = {
        name: (
            config.whole_words.direct_alpha,
            config.whole_words.sequential_alpha,
            config.graph.sigma,
            config.decoding.rerank_extra,
            config.graph.num_propagation_layers,
        )
        for name in ("paper-sports", "paper-beauty", "paper-toys")
        for config in [preset(name)]
    }
    assert found == {
        "paper-sports": (5, 1, 5, 10, 4),
        "paper-beauty": (9, 6, 6, 15, 4),
        "paper-toys": (11, 9, 5, 10, 4),
    }


def test_what_is_published_starts_from_t5_and_may_do_without():
    for name in PUBLISHED:
        pretrained, random = preset(name), preset(f"{name}-from-scratch")
        assert pretrained.backbone.name == "google-t5/t5-small"
        assert random.backbone.name == "t5-small"
        assert updated(pretrained, {"backbone": {"name": "t5-small"}}) == random


def test_elmrec_without_its_graph_is_pod():
    """The presets are settings of the same parts: undo four of them, and POD remains."""
    elmrec, pod = preset("paper-beauty"), preset("pod")
    plain = to_dict(ELMRecConfig())
    incremental = dict.fromkeys(("direct", "sequential", "explanation"), "incremental")
    undone = updated(
        elmrec,
        {
            "whole_words": {**plain["whole_words"], **incremental},
            "graph": plain["graph"],
            "training": {"learning_rate": pod.training.learning_rate},
            "decoding": {"rerank_extra": 0},
        },
    )
    assert undone == pod


def test_predecessors_know_no_graph():
    for name, kind in (("pod", "incremental"), ("p5", "incremental"), ("t5", "none")):
        words = preset(name).whole_words
        assert {words.direct, words.sequential, words.explanation} == {kind}
    for name in ("p5", "t5"):
        assert preset(name).prompts.num_prompt_embeddings == 0


def test_an_unknown_preset_is_named_with_its_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'paper-beauty'"):
        preset("paper-beaty")


def test_folds_are_on_for_spectral_features_alone():
    folds = {kind: GraphConfig(features=kind).folds for kind in ("spectral", "random", "trained")}
    assert folds["spectral"] > 1 and folds["random"] == folds["trained"] == 0
    assert GraphConfig(num_folds=3, features="random").folds == 3


MATCH = "prompts.graph_match=true prompts.candidate_head=true prompts.direct_likelihood=candidates"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("prompts.tasks=", "prompts.tasks"),
        ("prompts.tasks=direct,direct", "names a task twice"),
        ("training.validation_metric=NDCG@10", "chooses its epoch by loss"),
        ("prompts.template_rate=1.5", "prompts.template_rate = 1.5: must be at most 1"),
        ("prompts.user_dropout=-0.1", "prompts.user_dropout"),
        ("prompts.max_history=0", "prompts.max_history"),
        ("prompts.num_negatives=0", "prompts.num_negatives"),
        ("prompts.num_prompt_embeddings=-1", "prompts.num_prompt_embeddings"),
        ("backbone.dropout=1.0", "backbone.dropout"),
        ("graph.num_folds=1", "graph.num_folds must be 0"),
        ("decoding.num_beams=0", "decoding.num_beams"),
        ("decoding.rerank_extra=-1", "decoding.rerank_extra"),
        ("decoding.explanation_groups=2", "multiple of decoding.explanation_groups"),
        ("decoding.explanation_groups=0", "explanation_groups = 0: must be at least 1"),
        ("decoding.min_explanation_tokens=21", "decoding.min_explanation_tokens"),
        ("graph.features=trained graph.num_folds=3", "graph.num_folds needs frozen features"),
        (
            "prompts.candidate_head=true",
            "candidate_head needs prompts.direct_likelihood=candidates",
        ),
        (f"{MATCH} whole_words.direct=none", "graph_match needs"),
        ("prompts.ids=one-token", "in the direct and sequential task: set prompts.cand"),
        ("prompts.ids=one-token prompts.tasks=sequential", "in the sequential task: set"),
    ],
)
def test_impossible_settings_are_refused(assignment, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(ELMRecConfig(), assignment.split(" "))
