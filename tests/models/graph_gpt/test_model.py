"""The network is GPT-2 where R is zero, and reads R, past and padding as it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.models.graph_gpt.conftest import (
    NUM_ITEMS,
    NUM_TEXT,
    NUM_USERS,
    random_batch,
    small_model,
)
from torch.nn import functional as F

from edgewise.models.graph_gpt.config import AttentionConfig
from edgewise.models.graph_gpt.model import GraphGPTModel

NONE = AttentionConfig(kind="none")
GRAPH = AttentionConfig()


def real(batch, states):
    """States of real tokens alone."""
    return states[batch.attention_mask.bool()]


@torch.no_grad()
def hidden(model, batch):
    return real(batch, model.hidden(batch))


class TestReading:
    def test_zero_bias_is_plain_gpt2(self):
        batch = random_batch()
        batch = replace(batch, distance=torch.full_like(batch.distance, 6))
        model = small_model(GRAPH)
        plain = model.gpt(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        assert torch.allclose(hidden(model, batch), real(batch, plain), atol=1e-5)
        assert torch.allclose(hidden(small_model(NONE), batch), real(batch, plain), atol=1e-5)

    @pytest.mark.parametrize("kind", ["graph", "meaningless"])
    def test_r_changes_what_is_read(self, kind):
        batch = random_batch()
        model = small_model(AttentionConfig(kind=kind))
        assert (hidden(model, batch) - hidden(small_model(NONE), batch)).abs().max() > 0.01

    def test_attention_is_the_softmax_of_scores_plus_r(self):
        """The first layer's weights, worked out from its queries and keys (Eq. 1)."""
        model, batch = small_model(GRAPH), random_batch()
        model.gpt.config._attn_implementation = "eager"
        read = model.gpt(
            batch.input_ids, attention_mask=model.mask(batch), output_attentions=True
        ).attentions[0]
        block = model.gpt.h[0]
        states = model.gpt.wte(batch.input_ids) + model.gpt.wpe.weight[: batch.input_ids.shape[1]]
        query, key, _ = block.attn.c_attn(block.ln_1(states)).split(8, dim=-1)
        query, key = (x.unflatten(-1, (2, 4)).transpose(1, 2) for x in (query, key))
        values = torch.tensor([0, 2, 0.5, 0.25, 0.125, 0.0625, 0])
        scores = query @ key.transpose(-1, -2) / 2 + values[batch.distance.int()][:, None]
        for row, length in enumerate(batch.attention_mask.sum(1)):
            seen = torch.ones(length, length).tril().bool()
            part = scores[row, :, :length, :length].masked_fill(~seen, -torch.inf)
            assert torch.allclose(part.softmax(-1), read[row, :, :length, :length], atol=1e-5)

    def test_eager_and_sdpa_agree(self):
        batch = random_batch()
        eager, sdpa = (small_model(GRAPH, name) for name in ("eager", "sdpa"))
        assert torch.allclose(hidden(eager, batch), hidden(sdpa, batch), atol=1e-5)

    def test_no_token_looks_at_the_future(self):
        model, batch = small_model(GRAPH), random_batch()
        changed = batch.input_ids.clone()
        changed[:, 5:] = 1
        distance = batch.distance.clone()
        distance[:, 5:, :], distance[:, :, 5:] = 1, 1
        other = replace(batch, input_ids=changed, distance=distance)
        before, after = (model.hidden(b)[:, :5] for b in (batch, other))
        assert torch.equal(before, after)

    def test_no_token_looks_at_padding(self):
        model, batch = small_model(GRAPH), random_batch()
        gap = batch.attention_mask == 0
        assert gap.any()
        distance = batch.distance.masked_fill(gap[:, None, :], 1)
        other = replace(batch, input_ids=batch.input_ids.masked_fill(gap, 2), distance=distance)
        assert torch.equal(hidden(model, batch), hidden(model, other))

    def test_a_row_alone_is_the_row_in_a_batch(self):
        model, batch = small_model(GRAPH), random_batch()
        for row, length in enumerate(batch.attention_mask.sum(1)):
            alone = replace(
                batch,
                input_ids=batch.input_ids[row : row + 1, :length],
                attention_mask=batch.attention_mask[row : row + 1, :length],
                node=batch.node[row : row + 1, :length],
                distance=batch.distance[row : row + 1, :length, :length],
            )
            together = model.hidden(batch)[row, :length]
            assert torch.allclose(model.hidden(alone)[0], together, atol=1e-5)
            assert torch.allclose(model.last_hidden(batch)[row], together[-1], atol=1e-5)
            following = model.next_item_logits(batch)[row]
            assert torch.allclose(following, model.item_logits(together[-1]), atol=1e-5)

    @pytest.mark.parametrize("gates", [False, True])
    @torch.no_grad()
    def test_two_parts_with_a_cache_are_one_pass(self, gates):
        model, batch = small_model(AttentionConfig(gates=gates)), random_batch(rows=1)
        if gates:
            model.gates.uniform_(0, 2)
        mask = model.mask(batch)
        first, past = model.read(batch.input_ids[:, :4], mask[:, :, :4, :4], keep=True)
        second, _ = model.read(batch.input_ids[:, 4:], mask[:, :, 4:], past, keep=True)
        together = torch.cat([first, second], 1)
        assert torch.allclose(together, model.hidden(batch), atol=1e-5)


class TestGates:
    def test_training_starts_at_the_papers_model(self):
        batch, gated = random_batch(), small_model(AttentionConfig(gates=True))
        assert gated.gates.shape == (2, 2)
        assert torch.equal(hidden(gated, batch), hidden(small_model(GRAPH), batch))

    def test_at_zero_the_graph_is_gone(self):
        batch, gated = random_batch(), small_model(AttentionConfig(gates=True))
        with torch.no_grad():
            gated.gates.zero_()
        assert torch.allclose(hidden(gated, batch), hidden(small_model(NONE), batch), atol=1e-5)

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_each_layer_and_head_learns(self, implementation):
        gated = small_model(AttentionConfig(gates=True), implementation)
        gated(random_batch()).backward()
        assert gated.gates.grad is not None
        assert (gated.gates.grad.abs() > 1e-7).all()

    def test_without_a_graph_there_is_nothing_to_gate(self):
        model = small_model(AttentionConfig(kind="none", gates=True))
        assert not hasattr(model, "gates")


class TestLosses:
    def test_item_logits_are_products_with_the_items_embeddings(self):
        model = small_model()
        states = torch.randn(2, 8)
        table = model.gpt.wte.weight
        assert model.item_logits(states).shape == (2, NUM_ITEMS)
        assert model.text_logits(states).shape == (2, NUM_TEXT)
        expected = states @ table[NUM_TEXT + NUM_USERS + 3]
        assert torch.allclose(model.item_logits(states)[:, 3], expected, atol=1e-5)
        assert torch.allclose(model.text_logits(states)[:, 3], states @ table[3], atol=1e-5)

    def test_next_items_count_where_there_is_a_target(self):
        model, batch = small_model(), random_batch()
        wanted = batch.targets >= 0
        logits = model.item_logits(model.hidden(batch))
        expected = F.cross_entropy(logits[wanted], batch.targets[wanted])
        assert model(batch).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_text_is_told_among_words(self):
        model, batch = small_model(), replace(random_batch(), space="text")
        logits = model.text_logits(model.hidden(batch))
        expected = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        assert model(batch).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_parts_weighed_by_their_rows_are_the_whole(self):
        """Row 0 has 9 targets, row 1 has 8, row 2 has 7: 24 of the batch's."""
        model, batch = small_model(), random_batch()
        whole, total = model(batch).item(), 0.0
        for rows in (slice(0, 1), slice(1, 3)):
            names = ("input_ids", "attention_mask", "node", "targets", "distance")
            mine = {name: getattr(batch, name)[rows] for name in names}
            part = replace(batch, **mine, targets_per_row=24 / 3)
            total += model(part).item() * len(part) / len(batch)
        assert total == pytest.approx(whole, rel=1e-5)
        assert model(replace(batch, targets_per_row=8.0)).item() == whole

    def test_multinomial_likelihood_sums_over_a_rows_positives(self):
        """Row 0 has items 1 and 4, row 1 none, row 2 item 6; the mean is over three rows."""
        model = small_model()
        pairs = torch.tensor([[0, 1], [0, 4], [2, 6]])
        batch = replace(random_batch(), positives=pairs)
        likelihood = model.item_logits(model.last_hidden(batch)).log_softmax(-1)
        expected = -(likelihood[0, 1] + likelihood[0, 4] + likelihood[2, 6]) / 3
        assert model(batch).item() == pytest.approx(expected.item(), rel=1e-5)


class TestContentTie:
    @pytest.fixture
    def tied(self) -> GraphGPTModel:
        loose = small_model(NONE)
        model = GraphGPTModel(loose.gpt, NUM_TEXT, NUM_USERS, NONE, lambda_v=0.5)
        model.hold_on_to_content()
        return model.eval()

    def test_it_is_the_mean_squared_distance_of_the_batchs_entities(self, tied):
        """Node 0 is moved by (1, 2, 0, ...): 5 over the number of users and items in the batch."""
        batch = random_batch()
        nodes = batch.node[batch.node >= 0].unique()
        with torch.no_grad():
            tied.gpt.wte.weight[NUM_TEXT + nodes[0], :2] += torch.tensor([1.0, 2.0])
        assert tied.anchor is not None
        moved = tied._distance_to_content(batch, tied.anchor)
        assert moved.item() == pytest.approx(5 / len(nodes), rel=1e-4)

    def test_it_counts_in_training_and_not_in_validation(self, tied):
        batch = random_batch()
        with torch.no_grad():
            tied.gpt.wte.weight[NUM_TEXT:] += 1
        plain = tied(batch)
        for module in tied.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        assert tied.train()(batch).item() == pytest.approx(plain.item() + 0.5 * 8, rel=1e-4)

    def test_weight_0_holds_nothing(self):
        model = small_model()
        model.hold_on_to_content()
        assert model.anchor is None

    def test_the_anchor_is_not_saved(self, tied):
        assert not any("anchor" in name for name in tied.state_dict())
