"""Item vectors of the sequential task, matched with states that cannot see what follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.models.elmrec.conftest import same_weights, small_elmrec

from edgewise.data.item_lists import CandidateLists
from edgewise.models.elmrec.batch import assemble
from edgewise.models.elmrec.recommender import ELMRec

ON = ("prompts.tasks=sequential", "prompts.item_head=true", "prompts.history_sampling=prefix")


@pytest.fixture(scope="module")
def on(shop_split) -> ELMRec:
    return small_elmrec(*ON).fit(shop_split)


def sequential_batch(model: ELMRec, histories: list[list[int]], targets: list[int]):
    tokens, lengths = model.table.item_targets
    users = np.arange(len(histories))
    prompts = model._writer.sequential(users, [np.array(row) for row in histories])
    return assemble(
        model.table, "sequential", prompts, [tokens[item, : lengths[item]] for item in targets]
    )


def test_states_do_not_see_later_items(on) -> None:
    network = on.model
    first = sequential_batch(on, [[5, 9, 14]], [2])
    second = sequential_batch(on, [[5, 9, 30]], [2])
    same = (first.input_ids == second.input_ids).long().cumprod(dim=1).bool()[0]
    same &= (first.node == second.node)[0]
    with torch.no_grad():
        states = [network.encode(batch)[0][:, -len(same) :][0] for batch in (first, second)]
    assert 0 < same.sum() < len(same)
    torch.testing.assert_close(states[0][same], states[1][same])
    assert not torch.allclose(states[0][~same], states[1][~same])


def test_every_item_of_the_history_is_a_lesson(on) -> None:
    network, pointer = on.model, on.model.catalogue
    batch = sequential_batch(on, [[5, 9, 14], [7], [3, 3]], [2, 4, 6])
    expected = []
    with torch.no_grad():
        states, _ = network.encode(batch)
        own = states[:, -batch.node.shape[1] :]
        loss = pointer.history_loss(own, batch)
        for row, (known, following) in [(0, (1, 9)), (0, (2, 14)), (2, (1, 3))]:
            # order counts the user as the first word
            closing = int((batch.order[row] == known + 1).nonzero().max())
            scores = pointer._match(own[row, closing][None])[0].log_softmax(dim=0)
            expected.append(-float(scores[following]))
    assert float(loss) == pytest.approx(sum(expected) / (3 * pointer.usual_lessons), abs=1e-5)
    lengths = on.histories.lengths
    lessons = [min(n - 1, on.config.prompts.max_history) - 1 for n in lengths if n >= 2]
    assert pointer.usual_lessons == pytest.approx(np.mean(lessons))


def test_a_lone_item_teaches_nothing_about_a_history(on) -> None:
    batch = sequential_batch(on, [[7], [8]], [2, 4])
    with torch.no_grad():
        states, _ = on.model.encode(batch)
        own = states[:, -batch.node.shape[1] :]
        assert float(on.model.catalogue.history_loss(own, batch)) == 0


def test_training_loss_is_the_score_that_recommending_uses(on) -> None:
    lists = CandidateLists.from_lists(np.array([3]), [np.arange(on.table.num_items)])
    scores = on.score_candidates(lists, task="sequential")
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-4)
    history = list(on.histories[3][-on.config.prompts.max_history :])
    for item in (0, 17, 40):
        tokens, lengths = on.table.item_targets
        prompts = on._writer.sequential(np.array([3]), [np.array(history)])
        batch = assemble(on.table, "sequential", prompts, [tokens[item, : lengths[item]]])
        with torch.no_grad():
            loss = float(on.model(batch)) * int(lengths[item])
        assert loss == pytest.approx(-scores[item], abs=1e-4)


def test_an_empty_history_is_answered(on) -> None:
    found = on.recommend_new([np.array([], dtype=np.int64)], k=4)
    assert len(set(found.item_index)) == 4


def test_item_vectors_are_saved(on, tmp_path) -> None:
    on.save(tmp_path / "model")
    loaded = ELMRec.load(tmp_path / "model")
    assert same_weights(on, loaded)
    users = np.array([0, 1, 2])
    np.testing.assert_array_equal(
        loaded.recommend(users, k=5).item_index, on.recommend(users, k=5).item_index
    )


def test_other_tasks_do_without_item_vectors(shop_split) -> None:
    model = small_elmrec("prompts.tasks=direct", "prompts.item_head=true").fit(shop_split)
    assert model.model.catalogue is None
