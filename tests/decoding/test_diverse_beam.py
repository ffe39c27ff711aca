from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from edgewise.decoding import diverse_beam as diverse
from edgewise.decoding import diverse_beam_search
from edgewise.errors import ConfigError

EOS, PAD = 1, 0


def cut(row: list[int]) -> list[int]:
    """A text up to and including its first end token."""
    return row[: row.index(EOS) + 1] if EOS in row else row


@pytest.fixture
def ending_t5(make_model):
    """A model that likes to end its texts, early and late."""
    model = make_model(seed=5)
    with torch.no_grad():
        model.shared.weight[EOS] = model.shared.weight[2:].mean(0) * 2
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("num_beams", "shortest", "longest"), [(2, 0, 6), (5, 3, 12), (21, 4, 9)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_group_equals_the_library(
    make_model, encode, num_beams, shortest, longest, seed
) -> None:
    t5 = make_model(seed=seed)
    with torch.no_grad():
        t5.shared.weight[EOS] *= 2 + seed
    prompts = encode(t5)
    library = t5.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=prompts.hidden),
        attention_mask=prompts.mask,
        num_beams=num_beams,
        min_new_tokens=shortest,
        max_new_tokens=longest,
        do_sample=False,
    )[:, 1:]
    found = diverse_beam_search(
        t5, prompts.hidden, prompts.mask, num_beams, 1, 0.0, shortest, longest
    )
    assert [cut(row) for row in found.tolist()] == [cut(row)[:longest] for row in library.tolist()]


def textbook(following, num_beams, num_groups, penalty, shortest, longest) -> list[int]:
    """Diverse beam search on lists, following section 4 of its paper, without early stopping."""
    width = num_beams // num_groups
    groups: list[list[tuple[tuple, float]]] = [[((), 0.0)] for _ in range(num_groups)]
    ended: list[list[tuple[tuple, float]]] = [[] for _ in range(num_groups)]
    for step in range(longest):
        times = np.zeros(len(following(())))
        for group, beams in enumerate(groups):
            grown = []
            for prefix, score in beams:
                for token, log_prob in enumerate(following(prefix)):
                    if token != EOS or step >= shortest:
                        rank = score + log_prob - penalty * times[token]
                        grown.append((rank, (*prefix, token), score + log_prob))
            grown.sort(key=lambda entry: -entry[0])
            for _, text, score in grown[:width]:
                if text[-1] == EOS or step + 1 == longest:
                    ended[group].append((text, score / (step + 1)))
            onward = [(text, score) for _, text, score in grown if text[-1] != EOS]
            groups[group] = onward[:width]
            for text, _ in groups[group]:
                times[text[-1]] += 1
    return list(max((entry for group in ended for entry in group), key=lambda entry: entry[1])[0])


@pytest.mark.parametrize("penalty", [0.0, 0.7, 5.0])
def test_groups_follow_the_textbook(t5, prompts, library_next, penalty) -> None:
    # Texts of exactly four tokens: no group closes early, as in the textbook.
    found = diverse_beam_search(t5, prompts.hidden, prompts.mask, 6, 3, penalty, 4, 4)
    for row in range(2):
        known: dict[tuple, np.ndarray] = {}

        def following(prefix: tuple, row: int = row, known: dict = known) -> np.ndarray:
            if prefix not in known:
                known[prefix] = library_next(t5, prompts, row, list(prefix))
            return known[prefix]

        assert found[row].tolist() == textbook(following, 6, 3, penalty, 4, 4)


def test_a_large_penalty_drives_groups_apart(t5, prompts) -> None:
    captured = []
    original = diverse._choose

    def spy(*args):
        captured.append(original(*args))
        return captured[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diverse, "_choose", spy)
        diverse_beam_search(t5, prompts.hidden, prompts.mask, 6, 3, 50.0, 5, 5)
    for choice in captured:
        for groups in choice.next_token.tolist():
            first, second, third = map(set, groups)
            assert not first & second and not first & third and not second & third


def test_texts_are_long_enough_and_padded_behind_their_end(ending_t5, encode) -> None:
    prompts = encode(ending_t5)
    found = diverse_beam_search(
        ending_t5, prompts.hidden, prompts.mask, 21, 3, 1.0, 10, 20, pad=39
    ).tolist()
    for row in found:
        text = cut(row)
        assert 11 <= len(text) <= 20 or EOS not in row
        assert EOS not in text[:10]
        assert set(row[len(text) :]) <= {39}


def test_one_prompt_alone_equals_the_batch(t5, prompts) -> None:
    together = diverse_beam_search(t5, prompts.hidden, prompts.mask, 6, 3, 0.5, 3, 8)
    for row in range(len(together)):
        part = slice(row, row + 1)
        alone = diverse_beam_search(t5, prompts.hidden[part], prompts.mask[part], 6, 3, 0.5, 3, 8)
        assert cut(alone[0].tolist()) == cut(together[row].tolist())[: alone.shape[1]]


@pytest.mark.parametrize(("num_beams", "num_groups"), [(20, 3), (2, 3), (6, 0)])
def test_uneven_groups_are_refused(t5, prompts, num_beams, num_groups) -> None:
    with pytest.raises(ConfigError, match=f"num_beams = {num_beams}.*num_groups = {num_groups}"):
        diverse_beam_search(t5, prompts.hidden, prompts.mask, num_beams, num_groups)


def test_contradicting_lengths_are_refused(t5, prompts) -> None:
    with pytest.raises(ConfigError, match="min_new_tokens = 9 and max_new_tokens = 5"):
        diverse_beam_search(
            t5, prompts.hidden, prompts.mask, 6, 3, min_new_tokens=9, max_new_tokens=5
        )
