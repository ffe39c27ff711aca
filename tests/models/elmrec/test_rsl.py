"""RSL: what is masked and written, by hand; its scores against the library's own T5; adapters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.checkpoints import save_tiny_t5
from tests.contracts.checkerboard import checkerboard, with_other_held_out_items

from edgewise.data.dataset import Catalog
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError
from edgewise.models.elmrec.prompts import EntityTokenTable
from edgewise.models.elmrec.rsl import RSL, SpanWriter, attributes_of

SMALL = (
    "training.epochs=1",
    "training.batch_size=16",
    "training.precision=fp32",
    "backbone.vocab_size=200",
    "prompts.num_negatives=5",
    "prompts.max_history=6",
    "spans.mask_rate=0.4",
)


@pytest.fixture(scope="module")
def model(shop_split):
    """Both tasks and attributes, one epoch; do not change it."""
    return RSL.from_preset("tiny", SMALL).fit(shop_split)


@pytest.fixture(scope="module")
def pool(model, shop_split):
    return model.stages(shop_split)[0].data.pool


@pytest.fixture
def writer():
    """Users 0 and 1, items 2 to 4, somebody unknown 5, a word 6, the mask 7, an attribute 8."""
    tokens = [[10], [11, 12], [20, 21], [22], [23, 24], [13], [30], [2], [40, 41]]
    words = Ragged.of_rows([np.array(row) for row in tokens])
    table = EntityTokenTable(2, 3, words.take(np.arange(7)), {"next": 6}, pad_id=0, eos_id=1)
    return SpanWriter(table, words)


def test_a_prompt_with_masks_by_hand(writer):
    prompt, answer = np.array([1, 2, 3, 6]), np.array([23, 24, 1])
    chosen = np.array([False, True, False, False])
    words, spans = writer.masked(prompt, chosen, answer)
    assert words.tolist() == [1, 7, 3, 6, 7]
    assert [(place, row.tolist()) for place, row in spans] == [(2, [20, 21, 1]), (4, [23, 24, 1])]

    other = writer.masked(np.array([0, 8]), np.array([True, True]), np.empty(0, int))
    batch = writer.assemble("sequential", [words, other[0]], [spans[::-1], other[1]])
    assert batch.input_ids.tolist() == [[11, 12, 2, 22, 30, 2], [2, 2, 0, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert batch.order.tolist() == [[1, 1, 2, 3, 0, 4], [1, 2, 0, 0, 0, 0]]
    assert batch.labels.tolist() == [[23, 24, 1, 20, 21, 1], [10, 1, 40, 41, 1, -100]]
    assert batch.positions.tolist() == [[4, 4, 4, 2, 2, 2], [1, 1, 2, 2, 2, 0]]


def test_attributes_of_a_catalogue(tokenizer):
    catalog = Catalog(
        ("", "", ""), ("Ulm", "", "Ulm"), (("tea", "Ulm"), (), ("tea", "cups")), ("",) * 3
    )
    tokens, described, rows = attributes_of(catalog, tokenizer, 3)
    assert described.tolist() == [0, 2]
    assert [row.tolist() for row in rows.rows()] == [[0, 1], [0, 1, 2]]
    expected = [
        tokenizer(text, add_special_tokens=False)["input_ids"][:3]
        for text in ("Ulm", "tea", "cups")
    ]
    assert [row.tolist() for row in tokens] == expected


def spans_written(batch, row, eos):
    """Place and tokens of each span of an example, in the order in which they are written."""
    labels = batch.labels[row][batch.labels[row] >= 0].tolist()
    places, spans, start = batch.positions[row].tolist(), [], 0
    for end, token in enumerate(labels):
        if token == eos:
            assert len(set(places[start : end + 1])) == 1
            spans.append((places[start], labels[start : end + 1]))
            start = end + 1
    assert start == len(labels)
    return spans


@pytest.mark.parametrize("task", ["sequential", "direct", "explanation"])
def test_what_is_written_fills_the_masks(model, pool, task):
    """Spans put into their blanks give the prompt that was drawn, with its answer."""
    writer, eos = pool.spans, model.table.eos_id
    mask = writer.words[writer.mask].tolist()
    first_is_answer, masked, maskable = [], 0, 0
    for number in range(6):
        prompts, targets, _, unknown = pool.drawn(task, number, 16)
        batch = pool.batch(task, number, 16)
        for row, (prompt, answer) in enumerate(zip(prompts, targets, strict=True)):
            spans = spans_written(batch, row, eos)
            filled = dict(spans)
            assert len(filled) == len(spans) > 0
            entities = prompt.tolist()
            if unknown[row] and task != "explanation":
                entities[0] = model.table.unknown_user
            expected = [[*writer.words[word].tolist(), eos] for word in entities]
            expected += [answer.tolist()] if len(answer) else []
            for place, tokens in enumerate(expected, start=1):
                read = batch.input_ids[row][batch.order[row] == place].tolist()
                assert read == (mask if place in filled else tokens[:-1])
                assert filled.get(place, tokens) == tokens
            if task == "explanation":
                continue
            assert len(expected) in filled
            if len(spans) > 1:
                first_is_answer.append(spans[0][0] == len(expected))
            may = 1 if task == "direct" else len(entities)
            assert all(place <= may or place == len(expected) for place in filled)
            masked, maskable = masked + len(spans) - 1, maskable + may
    if task == "sequential":
        assert masked / maskable == pytest.approx(0.4, abs=0.08)
        assert 0.1 < np.mean(first_is_answer) < 0.6, "in shuffled order"


def test_parts_of_a_batch_are_the_batch(pool):
    whole = pool.batch("sequential", 3, 16)
    for part in (slice(0, None, 2), slice(1, None, 2)):
        own = pool.batch("sequential", 3, 16, part)
        assert torch.equal(own.input_ids, whole.input_ids[part])
        assert torch.equal(own.labels, whole.labels[part])


@torch.no_grad()
def log_probs_by_hand(model, batch, row):
    """Of an example's target tokens, by the library's forward pass over it alone."""
    network, t5 = model.network, model.network.t5
    places, alpha = network.order_embeddings, network.whole_words.alpha(batch.task)
    order = batch.order[row][batch.attention_mask[row] == 1]
    tokens = batch.input_ids[row][batch.attention_mask[row] == 1]
    labels = batch.labels[row][batch.labels[row] >= 0]
    prompt = network.prompt_embeddings[["explanation", "sequential", "direct"].index(batch.task)]
    read = torch.cat([prompt, t5.shared(tokens) + alpha * places[order]])
    before = torch.cat([torch.tensor([model.table.pad_id]), labels[:-1]])
    written = t5.shared(before) + alpha * places[batch.positions[row][: len(labels)]]
    logits = t5(inputs_embeds=read[None], decoder_inputs_embeds=written[None]).logits[0]
    return logits.log_softmax(-1).gather(1, labels[:, None])[:, 0]


def test_the_loss_is_the_mean_over_examples_of_all_their_spans(model, pool):
    batch = pool.batch("sequential", 0, 16)
    expected = [-log_probs_by_hand(model, batch, row).mean() for row in range(len(batch))]
    with torch.no_grad():
        assert model.network(batch).item() == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize("task", ["sequential", "direct"])
def test_scores_are_the_likelihood_of_a_plain_t5(model, pool, task):
    users, items = np.array([3, 8]), np.array([5, 0, 17])
    found = model.score_candidates(CandidateLists.from_lists(users, [items] * 2), task=task)
    expected = []
    for user in users:
        shown = model.data.histories[user][-6:] if task == "sequential" else items
        prompt = np.append(user, shown + model.table.num_users)
        answers = [model.table.target(item) for item in items]
        batch = pool.asked(task, [prompt] * 3, answers)
        expected += [log_probs_by_hand(model, batch, row).sum() for row in range(3)]
    assert found == pytest.approx(np.array(expected), abs=1e-3)


def test_vectors_are_of_what_ids_are_spelled_with(model):
    found, weight = model.node_vectors(), model.network.t5.shared.weight.detach().numpy()
    assert len(found) == model.table.num_nodes
    for node in (0, 39, 40, 87):
        assert found[node] == pytest.approx(weight[model.table.tokens[node]].mean(axis=0), abs=1e-6)


def test_it_ranks_and_does_not_explain(model, shop_split):
    assert model.tasks == ("sequential", "direct")
    with pytest.raises(ConfigError, match="not trained for the explanation task"):
        model.explain([(0, 0)])
    rows = dict(model.plan(model.stages(shop_split)))
    assert rows["attributes"].endswith("48 items") and rows["sequential"].endswith("40 users")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("prompts.item_head=true", "prompts.item_head"),
        ("whole_words.sequential=graph", "places"),
        ("prompts.tasks=explanation", "sequential and direct"),
    ],
)
def test_parts_that_know_no_spans_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        RSL.from_preset("tiny", [setting])


def test_a_checkpoint_with_adapters(shop_split, tmp_path):
    """The checkpoint's weights stay, what is added learns, and a saved model is the same."""
    folder = save_tiny_t5(tmp_path / "t5")
    settings = (*SMALL, f"backbone.name={folder}", "lora.rank=2", "prompts.tasks=sequential")
    model = RSL.from_preset("tiny", settings).fit(shop_split)
    start = RSL.from_preset("tiny", settings)
    start._data = model.data
    before = dict(start.build(shop_split).named_parameters())
    for name, now in model.network.named_parameters():
        moved = not torch.equal(now, before[name])
        adapted = name.endswith((".up", ".down"))
        assert not (name.startswith("t5.") and moved and not adapted), name
        assert moved or not name.endswith(".up"), name
    model.save_pretrained(tmp_path / "model")
    loaded = RSL.from_pretrained(tmp_path / "model")
    ours, theirs = (each.recommend(np.arange(4), 5) for each in (model, loaded))
    assert np.array_equal(ours.score, theirs.score)


def test_held_out_rows_change_no_weight():
    split = checkerboard().split
    other = with_other_held_out_items(split)
    assert not np.array_equal(split.test.item_index, other.test.item_index)
    assert np.array_equal(split.train.item_index, other.train.item_index)
    ours, theirs = (
        RSL.from_preset("tiny", SMALL).fit(each).network.state_dict() for each in (split, other)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
