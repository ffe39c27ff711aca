"""Training by stages, resuming, leaks, recommending, explaining, saving."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.models.graph_gpt.conftest import same_weights, small_graph_gpt
from tests.seals import edit

from edgewise.config import updated
from edgewise.data.dataset import Catalog
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError, ModelFolderError, UnknownIdError
from edgewise.models.graph_gpt import recommender as graph_gpt
from edgewise.models.graph_gpt.batch import assemble
from edgewise.models.graph_gpt.prompts import explanation_prompt
from edgewise.models.graph_gpt.recommender import GraphGPT, bounded_parts
from edgewise.models.item_start import item_start
from edgewise.recommender import ItemFilter

USERS = np.arange(12)


def without_text(split):
    train = replace(split.train, review=None, summary=None)
    valid = replace(split.valid, review=None, summary=None)
    rows = replace(split.dataset.interactions, review=None, summary=None)
    dataset = replace(
        split.dataset, catalog=Catalog.empty(split.dataset.num_items), interactions=rows
    )
    return replace(split, dataset=dataset, train=train, valid=valid)


class TestLearning:
    def test_each_stage_has_its_curves(self, fitted):
        assert list(fitted.stage_curves) == ["content", "sequence"]
        assert len(fitted.stage_curves["sequence"].valid) == 2
        assert fitted.trained_stages == ("content", "sequence")

    def test_the_plan_is_told_before_the_first_step(self, shop_split):
        class ToldError(Exception):
            pass

        plans = []

        def look(plan):
            plans.append(plan)
            raise ToldError

        with pytest.raises(ToldError):
            small_graph_gpt().fit(shop_split, on_plan=look)
        (attention, content, sequence, priors) = plans[0].rows
        assert priors[0] == "priors" and priors[1].startswith("transitions, markov, spectral")
        assert attention == ("attention", "graph, proximity paths")
        sizes = r"([\d,]+) examples, at most (\d+) epochs of ([\d,]+) batches"
        (texts, epochs, steps), (windows, passes, batches) = (
            [int(number.replace(",", "")) for number in re.fullmatch(sizes, words).groups()]
            for _, words in (content, sequence)
        )
        assert (content[0], epochs, sequence[0], passes) == ("content", 1, "sequence", 2)
        assert batches == -(-windows // 8) and texts > steps > 0
        assert plans[0].num_parameters > 10_000

    @pytest.mark.parametrize("stages", ["events", "events,predictive", "content,events,predictive"])
    def test_the_papers_stages(self, shop_split, stages):
        model = small_graph_gpt(
            f"stages={stages}",
            "history.order=set",
            "training.events.epochs=1",
            "training.predictive.epochs=1",
        ).fit(shop_split)
        assert list(model.stage_curves) == stages.split(",")
        found = model.recommend(np.arange(5), 4)
        assert len(found) == 20 and np.isfinite(found.score).all()

    def test_attention_kinds_learn_different_weights(self, shop_split):
        models = [
            small_graph_gpt("stages=sequence", f"attention.kind={kind}").fit(shop_split)
            for kind in ("graph", "meaningless", "none")
        ]
        assert not same_weights(models[0], models[1])
        assert not same_weights(models[0], models[2])
        assert not same_weights(models[1], models[2])

    def test_the_tie_holds_on_to_what_the_content_stage_learned(self, shop_split):
        """The second run stops as soon as its sequence stage begins."""
        model = small_graph_gpt("lambda_v=0.1").fit(shop_split).network
        content = small_graph_gpt("training.sequence.max_minutes=1e-9").fit(shop_split).network
        learned = content.gpt.wte.weight[content.num_text :]
        assert model.anchor is not None and torch.equal(model.anchor, learned)
        assert not torch.equal(model.gpt.wte.weight[model.num_text :], learned)

    def test_data_without_text_skips_the_content(self, shop_split, caplog):
        caplog.set_level(logging.WARNING)
        model = small_graph_gpt("lambda_v=0.5").fit(without_text(shop_split))
        assert list(model.stage_curves) == ["sequence"]
        assert model.tasks == ("sequential", "direct")
        assert "no content: the content stage is left out" in caplog.text
        assert "no content: lambda_v = 0.5 is without effect" in caplog.text
        assert "timestamps" not in caplog.text

    def test_no_train_rows(self, shop_split):
        empty = replace(shop_split, train=shop_split.train.take(np.empty(0, np.int64)))
        with pytest.raises(DataError, match="no train rows"):
            small_graph_gpt("stages=sequence").fit(empty)


class TestResuming:
    """A run that stopped somewhere ends with the weights of one that never stopped."""

    @pytest.mark.parametrize("stop_in", ["content", "sequence"])
    def test_to_the_same_weights(self, shop_split, fitted, tmp_path, stop_in):
        shorter = {
            "content": ("training.content.max_minutes=1e-9", "stages=content,sequence"),
            "sequence": ("training.sequence.epochs=1",),
        }[stop_in]
        small_graph_gpt(*shorter).fit(shop_split, folder=tmp_path)
        if stop_in == "content":
            # The run died before the sequence stage began.
            for path in sorted((tmp_path / "sequence").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (tmp_path / "sequence").rmdir()
        again = small_graph_gpt().fit(shop_split, folder=tmp_path, resume=True)
        assert same_weights(again, fitted)

    def test_a_finished_run_trains_no_more(self, shop_split, fitted, tmp_path):
        first = small_graph_gpt().fit(shop_split, folder=tmp_path)
        again = small_graph_gpt().fit(shop_split, folder=tmp_path, resume=True)
        assert same_weights(first, again) and same_weights(first, fitted)
        assert again.stage_curves == first.stage_curves

    def test_an_older_runs_stages_are_not_resumed(self, shop_split, tmp_path):
        """A new run that dies in its first stage must not find the second one finished."""
        for stage in ("content", "sequence"):
            (tmp_path / stage / "checkpoint").mkdir(parents=True)

        def die(*_args, **_kwargs):
            assert not [*tmp_path.glob("*/checkpoint")]
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edgewise.training.trainer.Trainer.run", die)
            with pytest.raises(KeyboardInterrupt):
                small_graph_gpt().fit(shop_split, folder=tmp_path)


class TestLeaks:
    def test_held_out_rows_change_nothing(self, shop_split):
        """Other test rows: equal weights, equal R. Other validation rows: equal R."""
        num_items = shop_split.dataset.num_items

        def moved(rows):
            return replace(rows, item_index=(rows.item_index + 5) % num_items)

        settings = ("stages=sequence", "training.sequence.epochs=1")
        ours = small_graph_gpt(*settings).fit(shop_split)
        other = replace(shop_split, valid=moved(shop_split.valid), test=moved(shop_split.test))
        theirs = small_graph_gpt(*settings).fit(other)
        # One epoch: validation rows choose nothing.
        assert same_weights(ours, theirs)
        nodes = np.arange(88)[None]
        first, second = (m.distances.among(nodes) for m in (ours, theirs))
        assert np.array_equal(first, second)


class TestRecommending:
    def test_candidates_have_the_scores_of_recommending(self, fitted):
        users = np.arange(6)
        found = fitted.recommend(users, 5)
        lists = CandidateLists.from_lists(users, list(found.item_index.reshape(6, 5)))
        for task in (None, "sequential", "direct"):
            scores = fitted.score_candidates(lists, task=task)
            assert scores == pytest.approx(found.score, abs=1e-4)

    def test_new_users_are_answered_by_their_history_alone(self, fitted):
        rows = [fitted.data.histories[3], fitted.data.histories[3], np.array([4])]
        found = fitted.recommend_new(rows, 4)
        assert found.user_index.tolist() == np.repeat([0, 1, 2], 4).tolist()
        assert np.array_equal(found.item_index[:4], found.item_index[4:8])
        lists = CandidateLists.from_lists(np.array([99, 98, 97]), [np.arange(48)] * 3)
        scores = fitted.score_candidates(lists, new_users=rows).reshape(3, 48)
        for row, (items, values) in enumerate(
            zip(found.item_index.reshape(3, 4), found.score.reshape(3, 4), strict=True)
        ):
            assert values == pytest.approx(scores[row, items], abs=1e-4)

    def test_new_items_of_a_history_are_read_as_its_train_items(self, fitted, monkeypatch):
        """R of user 3's prompt, at whose end an item stands that user 3 never took."""
        masks = []
        read = fitted.network.mask
        monkeypatch.setattr(
            fitted.network, "mask", lambda batch: masks.append(read(batch)) or masks[-1]
        )
        known = fitted.data.histories[3][-4:]
        new = known.copy()
        new[-1] = np.setdiff1d(np.arange(48), fitted.data.histories[3])[0]
        offsets = np.array([0, 0, 0, 0, 4])
        for items in (known, new):
            fitted.recommend(np.array([3]), 2, histories=Ragged(offsets, items))
            lists = CandidateLists.from_lists(np.array([3]), [np.arange(5)])
            fitted.score_candidates(lists, histories=Ragged(offsets, items))
            fitted.recommend_new([items], 2)
            fitted.score_candidates(lists, new_users=[items])
        for mine, theirs in zip(masks[:4], masks[4:], strict=True):
            assert torch.equal(mine, theirs)
        # The user and an item of one edge: 1 for the edge, 1 for the path; items: 0.5.
        assert masks[0][0, 0, -1, 0] == 2 and (masks[0][0, 0, -1, -4:-1] == 0.5).all()

    def test_paths_without_own_edges(self, shop_split, tmp_path):
        """R differs within a history, and is kept in the folder."""
        setting = (
            "stages=sequence",
            "attention.include_own_edges=false",
            "training.sequence.epochs=1",
        )
        model = small_graph_gpt(*setting).fit(shop_split)
        everything = np.arange(40, 88)[None]
        found = model.distances.in_histories(everything, np.array([-1]))
        assert sorted(np.unique(found)) == [0, 2, 4]
        model.save_pretrained(tmp_path / "model")
        loaded = GraphGPT.from_pretrained(tmp_path / "model")
        ours, theirs = (m.recommend(np.arange(40), 5) for m in (model, loaded))
        assert np.array_equal(ours.score, theirs.score)

    def test_strangers_are_refused(self, fitted):
        with pytest.raises(UnknownIdError, match="item_index 48"):
            fitted.recommend_new([np.array([48])])
        with pytest.raises(UnknownIdError, match="user_index 40"):
            fitted.explain([(40, 0)])
        few = fitted.data.histories.take(np.arange(2))
        with pytest.raises(UnknownIdError, match="cover 2 users"):
            fitted.recommend(np.array([5]), histories=few)
        with pytest.raises(ConfigError, match="k = 0"):
            fitted.recommend(np.array([5]), 0)


class TestScoring:
    """Answers do not depend on how many prompts are read at a time."""

    @pytest.fixture(scope="class")
    @classmethod
    def histories(cls, fitted) -> Ragged:
        rows = [fitted.data.histories[user][: 1 + user % 5] for user in USERS]
        return Ragged.of_rows(rows)

    def test_likelihoods_are_of_all_items(self, fitted, histories):
        rows = []
        for chosen, scores in fitted.next_scores(USERS, histories):
            rows += chosen.tolist()
            assert scores.shape == (len(chosen), fitted.tokens.num_items)
        assert sorted(rows) == list(range(12))
        likelihood = fitted.scores(USERS, histories)
        torch.testing.assert_close(likelihood.exp().sum(1), torch.ones(12), atol=1e-4, rtol=0)

    def test_listed_scores_are_likelihoods(self, fitted, histories):
        likelihood = fitted.scores(USERS, histories).numpy()
        found = fitted.rank_items(USERS, histories, ItemFilter(), 5)
        row, item = found.items.row_of_value, found.items.values
        np.testing.assert_allclose(found.scores.values, likelihood[row, item], atol=1e-5)
        lists = Ragged.of_rows([np.array([5, 1, 2])] * 12)
        chosen = fitted.score_lists(USERS, histories, lists, "direct").reshape(12, 3)
        np.testing.assert_allclose(chosen, likelihood[:, [5, 1, 2]], atol=1e-5)

    def test_small_parts_give_the_same_answers(self, fitted, histories, monkeypatch):
        seen = ItemFilter(Ragged.of_rows([np.array([0, 3])] * 12))
        items, scores = fitted.rank_items(USERS, histories, seen, 5)
        monkeypatch.setattr(graph_gpt, "_PAIRS_AT_ONCE", 100)
        again, same = fitted.rank_items(USERS, histories, seen, 5)
        assert [row.tolist() for row in items] == [row.tolist() for row in again]
        assert scores.values == pytest.approx(same.values, abs=1e-4)

    def test_ranking_agrees_with_scoring(self, fitted, histories):
        items, scores = fitted.rank_items(USERS, histories, ItemFilter(), 48)
        lists = Ragged.of_rows([np.arange(48)] * 12)
        everything = fitted.score_lists(USERS, histories, lists, "direct").reshape(12, 48)
        assert np.array_equal(everything, fitted.score_items(USERS, histories))
        for found, score, row in zip(items, scores, everything, strict=True):
            assert sorted(found) == list(range(48))
            assert score == pytest.approx(np.sort(row)[::-1], abs=1e-5)

    def test_lists_of_any_lengths(self, fitted, histories):
        lists = Ragged.of_rows([np.arange(user % 4) for user in USERS])
        found = fitted.score_lists(USERS, histories, lists, "sequential")
        everything = fitted.score_items(USERS, histories)
        assert np.array_equal(found, everything[lists.row_of_value, lists.values])

    def test_seen_items_are_not_found(self, fitted, histories):
        hidden = np.zeros(48, dtype=bool)
        hidden[47] = True
        seen = ItemFilter(Ragged.of_rows([np.arange(40)] * 12), hidden)
        items, _ = fitted.rank_items(USERS, histories, seen, 10)
        assert all(sorted(row) == list(range(40, 47)) for row in items)

    def test_nothing_asked_nothing_answered(self, fitted, histories):
        nobody, nothing = USERS[:0], histories.take(USERS[:0])
        assert fitted.rank_items(nobody, nothing, ItemFilter(), 3).items.rows() == []
        assert len(fitted.score_lists(nobody, nothing, nothing, "direct")) == 0


class TestExplaining:
    def test_one_line_a_pair(self, fitted):
        assert fitted.tasks == ("sequential", "direct", "explanation")
        texts = fitted.explain([(0, 1), (5, 2), (0, 1)])
        assert len(texts) == 3 and texts[0] == texts[2] and "\n" not in "".join(texts)

    def test_no_explanation_is_empty(self, fitted):
        texts = fitted.explain([(user, user) for user in range(40)])
        assert len(texts) == 40 and all(texts)

    def test_it_must_have_been_learned(self, shop_split):
        model = small_graph_gpt("stages=sequence").fit(shop_split)
        with pytest.raises(
            ConfigError, match=r"not trained for the explanation task.*content\.reviews"
        ):
            model.explain([(0, 1)])
        model = small_graph_gpt("content.reviews=false").fit(shop_split)
        assert "explanation" not in model.tasks


class TestWriting:
    @pytest.fixture(scope="class")
    @classmethod
    def asked(cls, fitted):
        return [explanation_prompt(user, 5, fitted.tokens) for user in range(5)]

    def test_the_cache_changes_nothing(self, fitted, asked):
        """Every token is the likeliest after reading the whole text so far at once."""
        config = updated(
            fitted.config.decoding, {"min_explanation_tokens": 6, "explanation_tokens": 6}
        )
        network, tokens = fitted.network, fitted.tokens
        for prompt, text in zip(asked, fitted.write(asked, config), strict=True):
            assert len(text) == 6
            for place in range(6):
                so_far = np.concatenate([prompt, text[:place]]).astype(np.int64)
                batch = assemble(tokens, [so_far], distances=fitted.distances)
                logits = network.text_logits(network.last_hidden(batch))[0]
                logits[[tokens.end_token, tokens.pad_token]] = -torch.inf
                if place and tokens.blank_tokens[text[place - 1]]:
                    logits[torch.from_numpy(tokens.blank_tokens)] = -torch.inf
                assert logits[text[place]] >= logits.max() - 1e-4

    def test_lengths(self, fitted, asked):
        config = updated(
            fitted.config.decoding, {"min_explanation_tokens": 2, "explanation_tokens": 4}
        )
        texts = fitted.write(asked, config)
        assert len(texts) == 5 and all(2 <= len(text) <= 4 for text in texts)
        assert not any(fitted.tokens.end_token in text for text in texts)

    def test_no_white_space_after_white_space(self, fitted, asked, monkeypatch):
        """The likeliest tokens are blank ones: every second one must be a word."""
        tokens = fitted.tokens
        blank = torch.from_numpy(tokens.blank_tokens)
        assert blank.any() and not blank.all()

        def eager_for_blanks(states):
            return torch.where(blank, 5.0, torch.arange(len(blank)) / len(blank)).expand(
                len(states), -1
            ).clone()  # fmt: skip

        monkeypatch.setattr(fitted.network, "text_logits", eager_for_blanks)
        config = updated(
            fitted.config.decoding, {"min_explanation_tokens": 6, "explanation_tokens": 6}
        )
        for text in fitted.write(asked, config):
            assert blank[text].tolist() == [True, False] * 3
            assert tokens.tokenizer.decode(text).split()

    def test_it_ends_when_all_texts_have_ended(self, fitted, asked, monkeypatch):
        end, calls = fitted.tokens.end_token, []

        def end_at_once(states):
            calls.append(len(states))
            return torch.eye(fitted.tokens.num_text)[[end] * len(states)]

        monkeypatch.setattr(fitted.network, "text_logits", end_at_once)
        config = updated(
            fitted.config.decoding, {"min_explanation_tokens": 2, "explanation_tokens": 20}
        )
        texts = fitted.write(asked, config)
        assert [len(text) for text in texts] == [2] * 5 and calls == [5] * 3

    def test_no_tokens_wanted_none_written(self, fitted, asked):
        config = updated(
            fitted.config.decoding, {"min_explanation_tokens": 0, "explanation_tokens": 0}
        )
        assert fitted.write(asked, config) == [[]] * 5


class TestStorage:
    @pytest.mark.parametrize("setting", ["attention.gates=true", "attention.kind=none"])
    def test_loaded_is_saved(self, shop_split, tmp_path, setting):
        model = small_graph_gpt("stages=sequence", setting).fit(shop_split)
        model.save_pretrained(tmp_path / "model")
        loaded = GraphGPT.from_pretrained(tmp_path / "model")
        assert same_weights(model, loaded) and loaded.config == model.config
        assert loaded.tasks == model.tasks
        ours, theirs = (m.recommend(np.arange(40), 5) for m in (model, loaded))
        assert np.array_equal(ours.score, theirs.score)

    def test_explanations_are_kept(self, fitted, tmp_path):
        fitted.save_pretrained(tmp_path / "model")
        loaded = GraphGPT.from_pretrained(tmp_path / "model")
        pairs = [(0, 1), (7, 3)]
        assert loaded.explain(pairs) == fitted.explain(pairs)

    def test_a_vocabulary_that_does_not_match(self, fitted, tmp_path):
        fitted.save_pretrained(tmp_path / "model")

        def grow(values):
            values["settings"]["learned"]["gpt"]["vocab_size"] += 1

        edit(tmp_path / "model" / "model.json", grow, seal=True)
        with pytest.raises(ModelFolderError, match="words, users and items make"):
            GraphGPT.from_pretrained(tmp_path / "model")


@given(st.lists(st.integers(1, 40)), st.integers(1, 3000), st.integers(1, 300), st.integers(1, 9))
def test_parts_are_bounded_and_whole(lengths, pairs, tokens, most):
    rising = np.sort(np.array(lengths, dtype=np.int64))
    parts = list(bounded_parts(rising, pairs, tokens, most))
    assert [n for part in parts for n in range(part.start, part.stop)] == list(range(len(rising)))
    for part in parts:
        size = part.stop - part.start
        assert size <= most
        longest = rising[part.stop - 1]
        assert size == 1 or (size * longest**2 <= pairs and size * longest <= tokens)


def test_its_name_tells_its_state(fitted):
    assert repr(GraphGPT()) == "GraphGPT(not fitted)"
    assert repr(fitted) == "GraphGPT(demo: 40 users, 48 items)"


def test_equal_seeds_equal_weights(shop_split, fitted):
    assert same_weights(small_graph_gpt().fit(shop_split), fitted)
    assert not same_weights(small_graph_gpt("seed=1").fit(shop_split), fitted)
    assert torch.is_grad_enabled()


class TestPriors:
    @pytest.fixture(scope="class")
    @classmethod
    def alone(cls, shop_split) -> GraphGPT:
        return small_graph_gpt("priors.names=[]").fit(shop_split)

    def test_without_names_it_is_the_language_model(self, alone, fitted, shop_split, tmp_path):
        assert alone.mixture is None and same_weights(alone, fitted)
        histories = alone.data.histories.take(USERS)
        scores = alone.scores(USERS, histories)
        assert torch.equal(scores, alone.language_likelihoods(USERS, histories))
        logits = fitted.language_likelihoods(USERS, histories)
        assert torch.equal(scores, logits), "priors change nothing of the training"
        alone.save_pretrained(tmp_path / "model")
        assert not (tmp_path / "model" / "priors.safetensors").exists()
        assert "priors" not in (tmp_path / "model" / "model.json").read_text().split("learned")[1]

    def test_without_a_mixture_there_is_nothing_to_tell(self, alone):
        assert alone.learned_rows() == () and len(alone.fitted_on_valid()) == 0
        assert alone.score_shares(0, np.array([1, 2])) == [(), ()]

    def test_shares_are_of_the_history_that_is_given(self, fitted, shop_split):
        items, known = np.array([3, 8]), fitted.data.histories
        first = fitted.score_shares(4, items)
        assert first == fitted.score_shares(4, items, known) != fitted.score_shares(5, items, known)
        for shares in first:
            assert sum(abs(share.share) for share in shares) == pytest.approx(1)
        later = fitted.score_shares(4, items, shop_split.known_before("test"))
        assert later != first
        nobody = Ragged.of_rows([known[user][:0] for user in range(len(known))])
        assert fitted.score_shares(4, items, nobody) == [(), ()]

    def test_weights_come_back_and_stand_in_the_card(self, fitted, tmp_path):
        fitted.save_pretrained(tmp_path / "model")
        again = GraphGPT.from_pretrained(tmp_path / "model")
        assert again.learned_rows() == fitted.learned_rows()
        assert again.fitted_on_valid().tolist() == fitted.fitted_on_valid().tolist()
        assert len(again.fitted_on_valid()) == 20, "half of the users"
        card = (tmp_path / "model" / "README.md").read_text()
        for name, value in fitted.learned_rows():
            assert f"| learned: {name} | {value} |" in card


def test_a_network_trained_beside_the_priors_is_kept(shop_split, tmp_path):
    """With all that changes the loss, and the start from texts."""
    settings = (
        "stages=['sequence']",
        "sequence.residual=true",
        "sequence.label_smoothing=0.1",
        "training.sequence.ema_decay=0.9",
        "training.sequence.validation_metric=NDCG@10",
    )
    model = small_graph_gpt(*settings).fit(shop_split)
    plain = small_graph_gpt("stages=['sequence']").fit(shop_split)
    assert not same_weights(model, plain)
    model.save_pretrained(tmp_path / "model")
    again = GraphGPT.from_pretrained(tmp_path / "model")
    users = np.arange(5)
    first, second = (m.score_items(users, m.data.histories.take(users)) for m in (model, again))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_items_start_from_transitions_and_texts(shop_split):
    config = "stages=['sequence']", "backbone.item_init=texts", "training.sequence.epochs=1"
    model = small_graph_gpt(*config, "training.sequence.learning_rate=1e-9").fit(shop_split)
    start = item_start("texts", shop_split, 64, 0)
    found = model.node_vectors()[shop_split.dataset.num_users :]
    np.testing.assert_allclose(found, start * model.config.backbone.init_std, atol=1e-4)


def test_with_integers_lists_change_a_little_and_weights_not_at_all(fitted, shop_split):
    users = np.arange(12)
    histories = fitted.data.histories.take(users)
    exact = fitted.scores(users, histories)
    config, state = fitted.config, {n: w.clone() for n, w in fitted.network.state_dict().items()}
    fitted.config = updated(config, {"decoding": {"weights": "int8"}})
    try:
        found = fitted.scores(users, histories)
    finally:
        fitted.config = config
    assert 0 < (found - exact).abs().max() < 0.2
    assert all(torch.equal(w, state[n]) for n, w in fitted.network.state_dict().items())
    assert torch.equal(fitted.scores(users, histories), exact)
    assert same_weights(fitted, fitted) and small_graph_gpt("decoding.weights=int8")
