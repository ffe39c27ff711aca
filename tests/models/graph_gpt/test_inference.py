"""Answers do not depend on how many prompts are read at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.models.graph_gpt import recommender as inference
from edgewise.models.graph_gpt.prompts import explanation_prompt
from edgewise.models.graph_gpt.recommender import Inference, bounded_parts

READERS = np.arange(12)


@pytest.fixture(scope="module")
def answers(fitted) -> Inference:
    return fitted._inference


@pytest.fixture(scope="module")
def prompts(fitted):
    return fitted._writer.prompts(READERS, [fitted.histories[u][: u % 5] for u in READERS])


@given(st.lists(st.integers(1, 40)), st.integers(1, 3000), st.integers(1, 9))
def test_parts_are_bounded_and_whole(lengths, budget, most):
    rising = np.sort(np.array(lengths, dtype=np.int64))
    parts = list(bounded_parts(rising, budget, most))
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(len(rising)))
    for part in parts:
        size = part.stop - part.start
        assert size <= most
        assert size == 1 or size * rising[part.stop - 1] ** 2 <= budget


def test_likelihoods_are_of_all_items(answers, prompts):
    rows = []
    for chosen, likelihood in answers.likelihoods(prompts, READERS):
        rows += chosen.tolist()
        assert torch.allclose(likelihood.exp().sum(1), torch.ones(len(chosen)), atol=1e-4)
    assert sorted(rows) == list(range(12))


def test_small_parts_give_the_same_answers(answers, prompts, monkeypatch):
    seen = [np.array([0, 3])] * 12
    items, scores = answers.rank(prompts, READERS, seen, 5)
    monkeypatch.setattr(inference, "_PAIRS_AT_ONCE", 100)
    again, same = answers.rank(prompts, READERS, seen, 5)
    assert [row.tolist() for row in items] == [row.tolist() for row in again]
    assert np.concatenate(scores) == pytest.approx(np.concatenate(same), abs=1e-4)


def test_ranking_agrees_with_scoring(answers, prompts):
    items, scores = answers.rank(prompts, READERS, [np.array([], int)] * 12, 48)
    everything = answers.score(prompts, READERS, [np.arange(48)] * 12).reshape(12, 48)
    for found, score, row in zip(items, scores, everything, strict=True):
        assert sorted(found) == list(range(48))
        assert score == pytest.approx(np.sort(row)[::-1], abs=1e-5)


def test_seen_items_are_not_found(answers, prompts):
    seen = [np.arange(40)] * 12
    items, _ = answers.rank(prompts, READERS, seen, 10)
    assert all(sorted(row) == list(range(40, 48)) for row in items)


def test_nothing_asked_nothing_answered(answers):
    assert answers.rank([], READERS[:0], [], 3) == ([], [])
    assert len(answers.score([], READERS[:0], [])) == 0


class TestWriting:
    @pytest.fixture(scope="class")
    def asked(self, fitted):
        return [explanation_prompt(user, 5, fitted.tokens) for user in range(5)]

    def test_the_cache_changes_nothing(self, fitted, answers, asked):
        """Every token is the likeliest after reading the whole text so far at once."""
        config = replace(fitted.config.decoding, min_explanation_tokens=6, explanation_tokens=6)
        model, tokens = fitted.model, fitted.tokens
        for prompt, text in zip(asked, answers.write(asked, config), strict=True):
            assert len(text) == 6
            for place in range(6):
                so_far = np.concatenate([prompt, text[:place]]).astype(np.int64)
                batch = inference.assemble(tokens, [so_far], distances=answers.distances)
                logits = model.text_logits(model.last_hidden(batch))[0]
                logits[[tokens.end_token, tokens.pad_token]] = -torch.inf
                if place and tokens.blank_tokens[text[place - 1]]:
                    logits[torch.from_numpy(tokens.blank_tokens)] = -torch.inf
                assert logits[text[place]] >= logits.max() - 1e-4

    def test_lengths(self, fitted, answers, asked):
        config = replace(fitted.config.decoding, min_explanation_tokens=2, explanation_tokens=4)
        texts = answers.write(asked, config)
        assert len(texts) == 5 and all(2 <= len(text) <= 4 for text in texts)
        assert not any(fitted.tokens.end_token in text for text in texts)

    def test_no_white_space_after_white_space(self, fitted, answers, asked, monkeypatch):
        """The likeliest tokens are blank ones: every second one must be a word."""
        tokens = fitted.tokens
        blank = torch.from_numpy(tokens.blank_tokens)
        assert blank.any() and not blank.all()

        def eager_for_blanks(states):
            return torch.where(blank, 5.0, torch.arange(len(blank)) / len(blank)).expand(
                len(states), -1
            ).clone()  # fmt: skip

        monkeypatch.setattr(fitted.model, "text_logits", eager_for_blanks)
        config = replace(fitted.config.decoding, min_explanation_tokens=6, explanation_tokens=6)
        for text in answers.write(asked, config):
            assert blank[text].tolist() == [True, False] * 3
            assert tokens.tokenizer.decode(text).split()

    def test_it_ends_when_all_texts_have_ended(self, fitted, answers, asked, monkeypatch):
        end, calls = fitted.tokens.end_token, []

        def end_at_once(states):
            calls.append(len(states))
            return torch.eye(fitted.tokens.num_text)[[end] * len(states)]

        monkeypatch.setattr(fitted.model, "text_logits", end_at_once)
        config = replace(fitted.config.decoding, min_explanation_tokens=2, explanation_tokens=20)
        texts = answers.write(asked, config)
        assert [len(text) for text in texts] == [2] * 5 and calls == [5] * 3

    def test_no_tokens_wanted_none_written(self, fitted, answers, asked):
        config = replace(fitted.config.decoding, min_explanation_tokens=0, explanation_tokens=0)
        assert answers.write(asked, config) == [[]] * 5
