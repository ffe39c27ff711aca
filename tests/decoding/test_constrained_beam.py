"""Beam search over the catalogue, and the two ways to leave seen items out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from edgewise.decoding import TokenTable, beam_search, rerank, score_candidates
from edgewise.decoding.constrained_beam import emptied_nodes

EOS = 1

# Four and two items found, best first.
ITEMS = np.array([[4, 9, 2, 7], [5, 1, -1, -1]])
SCORES = np.array([[-1.0, -2.0, -3.0, -4.0], [-0.5, -0.6, -np.inf, -np.inf]], dtype=np.float32)


@pytest.fixture
def exhaustive(t5, prompts, table) -> np.ndarray:
    everything = [np.arange(len(table))] * len(prompts.hidden)
    return np.array(score_candidates(t5, prompts.hidden, prompts.mask, table, everything))


@pytest.fixture
def banned(table) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    sizes = (0, 3, len(table), 20, len(table) - 2)
    return [rng.choice(len(table), size, replace=False) for size in sizes]


@pytest.fixture
def even_table() -> TokenTable:
    """Sixty items of three pieces each."""
    rows = [[2 + item % 3, 10 + item % 5, 20 + item // 15, EOS] for item in range(60)]
    return TokenTable.from_lists(rows)


def test_as_wide_as_the_catalogue_equals_exhaustive_scoring(t5, prompts, table, exhaustive) -> None:
    items, scores = beam_search(
        t5, prompts.hidden, prompts.mask, table.trie, len(table), len(table)
    )
    np.testing.assert_array_equal(items, np.argsort(-exhaustive, axis=1, kind="stable"))
    np.testing.assert_allclose(scores, -np.sort(-exhaustive, axis=1), atol=1e-4)


def test_banned_items_never_appear_and_the_rest_is_exhaustive(
    t5, prompts, table, exhaustive, banned
) -> None:
    items, scores = beam_search(
        t5, prompts.hidden, prompts.mask, table.trie, len(table), 10, banned
    )
    for row, seen in enumerate(banned):
        allowed = np.setdiff1d(np.arange(len(table)), seen)
        best = allowed[np.argsort(-exhaustive[row, allowed])][:10]
        found = items[row, : len(best)]
        np.testing.assert_array_equal(found, best)
        np.testing.assert_allclose(scores[row, : len(best)], exhaustive[row, best], atol=1e-4)
        assert np.all(items[row, len(best) :] == -1)
        assert np.all(np.isneginf(scores[row, len(best) :]))


@pytest.mark.parametrize("num_beams", [1, 4, 12])
def test_lists_are_short_only_when_fewer_items_exist(t5, prompts, table, banned, num_beams) -> None:
    items, scores = beam_search(t5, prompts.hidden, prompts.mask, table.trie, num_beams, 12, banned)
    for row, seen in enumerate(banned):
        found = items[row][items[row] >= 0]
        assert len(found) == min(12, len(table) - len(seen))
        assert len(set(found)) == len(found)
        assert not set(found) & set(seen)
    finite = np.where(np.isfinite(scores), scores, -1e9)
    assert np.all(np.diff(finite, axis=1) <= 0)


def test_scores_of_a_narrow_beam_are_exact(t5, prompts, table, exhaustive) -> None:
    items, scores = beam_search(t5, prompts.hidden, prompts.mask, table.trie, 5, 5)
    np.testing.assert_allclose(scores, np.take_along_axis(exhaustive, items, 1), atol=1e-4)


@pytest.mark.parametrize("num_beams", [2, 6])
def test_a_narrow_beam_follows_the_textbook(t5, prompts, table, library_next, num_beams) -> None:
    items, scores = beam_search(t5, prompts.hidden, prompts.mask, table.trie, num_beams, num_beams)
    spelled = {tuple(table.tokens[i, : table.lengths[i]].tolist()): i for i in range(len(table))}
    prefixes = {row[:end] for row in spelled for end in range(1, len(row) + 1)}
    for row in range(len(prompts.hidden)):
        live, found = {(): 0.0}, {}
        while live:
            grown = {}
            for prefix, score in live.items():
                log_probs = library_next(t5, prompts, row, list(prefix))
                for token in range(len(log_probs)):
                    if (*prefix, token) in prefixes:
                        grown[(*prefix, token)] = score + log_probs[token]
            found |= {spelled[p]: score for p, score in grown.items() if p in spelled}
            onward = sorted(set(grown) - set(spelled), key=lambda p: -grown[p])[:num_beams]
            live = {prefix: grown[prefix] for prefix in onward}
        best = sorted(found, key=lambda item: -found[item])[:num_beams]
        assert items[row].tolist() == best
        np.testing.assert_allclose(scores[row], [found[item] for item in best], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_equals_the_library_where_all_items_are_equally_long(t5, prompts, even_table) -> None:
    spelled = {tuple(row): item for item, row in enumerate(even_table.tokens.tolist())}

    def allowed(_, ids):
        prefix = tuple(ids[1:].tolist())
        following = {row[len(prefix)] for row in spelled if row[: len(prefix)] == prefix}
        return sorted(following) if len(prefix) < 4 else [EOS]

    library = t5.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=prompts.hidden),
        attention_mask=prompts.mask,
        num_beams=7,
        num_return_sequences=7,
        max_new_tokens=4,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
    )[:, 1:]
    found = [spelled[tuple(row)] for row in library.tolist()]
    items, _ = beam_search(t5, prompts.hidden, prompts.mask, even_table.trie, 7, 7)
    assert items.tolist() == np.reshape(found, (-1, 7)).tolist()


def test_seen_items_cost_no_room_in_the_beam(t5, prompts, table, exhaustive) -> None:
    favourites = np.argsort(-exhaustive, axis=1)[:, :20]
    items, _ = beam_search(t5, prompts.hidden, prompts.mask, table.trie, 20, 20, list(favourites))
    assert np.all(items >= 0)
    assert not any(set(row) & set(seen) for row, seen in zip(items, favourites, strict=True))


def test_one_prompt_alone_equals_the_batch(t5, prompts, table, banned) -> None:
    items, scores = beam_search(t5, prompts.hidden, prompts.mask, table.trie, 8, 8, banned)
    for row in range(len(items)):
        part = slice(row, row + 1)
        alone = beam_search(
            t5, prompts.hidden[part], prompts.mask[part], table.trie, 8, 8, banned[part]
        )
        np.testing.assert_array_equal(alone[0][0], items[row])
        np.testing.assert_allclose(alone[1][0], scores[row], atol=1e-4)


def test_repeated_bans_count_once(t5, prompts, table, banned) -> None:
    once, _ = beam_search(t5, prompts.hidden, prompts.mask, table.trie, 8, 8, banned)
    twice, _ = beam_search(
        t5, prompts.hidden, prompts.mask, table.trie, 8, 8, [np.repeat(row, 2) for row in banned]
    )
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize("beginning", [[3], [3, 8, 3]])
@pytest.mark.parametrize("has_prior", [False, True])
def test_what_all_items_begin_with(t5, prompts, table, banned, beginning, has_prior) -> None:
    tokens, lengths = table.tokens.tolist(), table.lengths.tolist()
    rows = [[*beginning, *row[:end]] for row, end in zip(tokens, lengths, strict=True)]
    longer = TokenTable.from_lists(rows)
    prior = np.random.default_rng(4).normal(size=(len(prompts.hidden), len(table)))
    told: Any = {"strength": 0.5}
    pointed = torch.from_numpy(prior).float() if has_prior else None
    everything = [np.arange(len(table))] * len(prompts.hidden)
    exact = np.array(
        score_candidates(
            t5, prompts.hidden, prompts.mask, longer, everything, pointed_items=pointed, **told
        )
    )
    items, scores = beam_search(
        t5,
        prompts.hidden,
        prompts.mask,
        longer.trie,
        len(table),
        10,
        banned,
        pointed=pointed,
        **told,
    )
    for row, seen in enumerate(banned):
        allowed = np.setdiff1d(np.arange(len(table)), seen)
        best = allowed[np.argsort(-exact[row, allowed])][:10]
        np.testing.assert_array_equal(items[row, : len(best)], best)
        np.testing.assert_allclose(scores[row, : len(best)], exact[row, best], atol=1e-4)
        assert np.all(items[row, len(best) :] == -1)


def test_emptied_subtrees_by_hand() -> None:
    trie = TokenTable.from_lists([[7, 3, 1], [5, 1], [7, 2, 1], [5, 9, 1]]).trie
    # Nodes: root 0; 5, 7; 5-1, 5-9, 7-2, 7-3; 5-9-1, 7-2-1, 7-3-1.
    keys = emptied_nodes(trie, [np.array([0, 2]), np.array([1]), np.array([0, 1, 2, 3])])
    assert keys.tolist() == [2, 5, 6, 8, 9, 10 + 3, *range(20, 30)]


def test_reranking_drops_seen_items_and_keeps_the_order() -> None:
    items, scores = rerank(ITEMS, SCORES, [np.array([9, 4]), np.array([3])], k=2)
    assert items.tolist() == [[2, 7], [5, 1]]
    np.testing.assert_array_equal(scores, np.array([[-3, -4], [-0.5, -0.6]], dtype=np.float32))


def test_a_reranked_list_is_short_when_too_many_were_seen() -> None:
    items, scores = rerank(ITEMS, SCORES, [np.array([9, 4, 7]), np.array([5, 1])], k=3)
    assert items.tolist() == [[2, -1, -1], [-1, -1, -1]]
    assert scores.tolist() == [[-3, -np.inf, -np.inf], [-np.inf] * 3]


def test_without_reranking_seen_items_stay() -> None:
    items, scores = rerank(ITEMS, SCORES, None, k=2)
    assert items.tolist() == [[4, 9], [5, 1]]
    assert scores.dtype == np.float32


def test_more_wanted_than_asked_for_is_padded() -> None:
    items, scores = rerank(ITEMS, SCORES, None, k=6)
    assert items.tolist() == [[4, 9, 2, 7, -1, -1], [5, 1, -1, -1, -1, -1]]
    assert np.isneginf(scores[:, 4:]).all()


def test_lists_that_are_out_of_order_are_sorted() -> None:
    items, _ = rerank(ITEMS[:, ::-1], SCORES[:, ::-1], [np.array([4]), np.empty(0)], k=3)
    assert items.tolist() == [[9, 2, 7], [5, 1, -1]]


@pytest.mark.parametrize("num_extra", [6, 30])
def test_banning_equals_filtering_when_the_beam_is_the_catalogue(
    t5, prompts, table, num_extra
) -> None:
    rng = np.random.default_rng(5)
    seen = [rng.choice(len(table), 6, replace=False) for _ in prompts.hidden]
    wide = beam_search(t5, prompts.hidden, prompts.mask, table.trie, len(table), 10 + num_extra)
    inside = beam_search(t5, prompts.hidden, prompts.mask, table.trie, len(table), 10, seen)
    filtered = rerank(*wide, seen, 10)
    np.testing.assert_array_equal(filtered[0], inside[0])
    np.testing.assert_allclose(filtered[1], inside[1], atol=1e-4)
