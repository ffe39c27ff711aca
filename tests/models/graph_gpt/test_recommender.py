"""Training by stages, resuming, leaks, recommending, explaining, saving."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.graph_gpt.conftest import same_weights, small_graph_gpt

from edgewise.data.dataset import Catalog
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError, ModelFolderError, UnknownIdError
from edgewise.models.graph_gpt.backbone import build_tokens
from edgewise.models.graph_gpt.prompts import WORDINGS
from edgewise.models.graph_gpt.recommender import GraphGPT, build_stages

# The whole batch, and the rows of each of two processes.
PARTS = slice(None), slice(0, None, 2), slice(1, None, 2)


def without_text(split):
    train = replace(split.train, review=None, summary=None)
    valid = replace(split.valid, review=None, summary=None)
    rows = replace(split.dataset.interactions, review=None, summary=None)
    dataset = replace(
        split.dataset, catalog=Catalog.empty(split.dataset.num_items), interactions=rows
    )
    return replace(split, dataset=dataset, train=train, valid=valid)


class TestStages:
    def test_each_stage_has_its_curves(self, fitted):
        assert list(fitted.stage_curves) == ["content", "sequence"]
        assert fitted.curves is fitted.stage_curves["sequence"]
        assert len(fitted.curves.valid_loss) == 2

    def test_the_plan_is_told_before_the_first_step(self, shop_split):
        class ToldError(Exception):
            pass

        plans = []

        def look(plan):
            plans.append(plan)
            raise ToldError

        with pytest.raises(ToldError):
            small_graph_gpt().fit(shop_split, on_plan=look)
        content, sequence = plans[0].stages
        assert (content.name, content.epochs) == ("content", 1)
        assert (sequence.name, sequence.epochs) == ("sequence", 2)
        assert sequence.steps_per_epoch == -(-sequence.examples // 8)
        assert content.examples > content.steps_per_epoch > 0
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
        model = small_graph_gpt("lambda_v=0.1").fit(shop_split).model
        content = small_graph_gpt("training.sequence.max_minutes=1e-9").fit(shop_split).model
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

    @pytest.mark.parametrize(
        ("stage", "order", "told"),
        [
            ("sequence", "set", 1),
            ("events", "time", 1),
            ("predictive", "time", 1),
            ("events", "set", 0),
            ("predictive", "set", 0),
        ],
    )
    def test_order_without_times_is_told_once(self, shop_split, caplog, stage, order, told):
        caplog.set_level(logging.WARNING)
        config = small_graph_gpt(f"stages={stage}", f"history.order={order}").config
        timeless = replace(shop_split, train=replace(shop_split.train, timestamp=None))
        build_stages(config, timeless, build_tokens(config.backbone, timeless, WORDINGS), None)
        assert caplog.text.count("no timestamps: the order of its rows") == told

    def test_parts_of_a_batch_have_the_loss_of_the_whole(self, shop_split, fitted):
        """Two processes' losses, weighed by their rows, in every stage."""
        config = small_graph_gpt(
            "stages=content,events,predictive,sequence", "content.events=true"
        ).config
        tokens, graph = fitted.tokens, fitted._inference.distances
        for stage, data in build_stages(config, shop_split, tokens, graph).items():
            uneven = 0
            for step in range(0, data.steps_per_epoch, 3):
                whole, *parts = (data.batch(step, part) for part in PARTS)
                with torch.no_grad():
                    expected = float(fitted.model(whole))
                    losses = [float(fitted.model(part)) for part in parts]
                rows = [len(part) for part in parts]
                assert np.average(losses, weights=rows) == pytest.approx(expected, rel=1e-4)
                counts = [int((part.targets >= 0).sum()) / len(part) for part in parts]
                uneven += counts[0] != counts[1]
            assert uneven or stage == "predictive"

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
        for stage in ("content", "sequence", "mine"):
            (tmp_path / stage / "checkpoint").mkdir(parents=True)

        def die(*_args, **_kwargs):
            assert [path.name for path in tmp_path.iterdir()] == ["mine"]
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edgewise.models.graph_gpt.recommender.train", die)
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
        first, second = (m._inference.distances.among(nodes) for m in (ours, theirs))
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
        rows = [fitted.histories[3], fitted.histories[3], np.array([], int)]
        found = fitted.recommend_new(rows, 4)
        assert found.user_index.tolist() == np.repeat([0, 1, 2], 4).tolist()
        assert np.array_equal(found.item_index[:4], found.item_index[4:8])
        lists = CandidateLists.from_lists(np.array([99, 98, 97]), [np.arange(48)] * 3)
        scores = fitted.score_candidates(lists, new_users=rows).reshape(3, 48)
        assert found.score[:4] == pytest.approx(scores[0, found.item_index[:4]], abs=1e-4)

    def test_new_items_of_a_history_are_read_as_its_train_items(self, fitted, monkeypatch):
        """R of user 3's prompt, at whose end an item stands that user 3 never took."""
        masks = []
        read = fitted.model.mask
        monkeypatch.setattr(
            fitted.model, "mask", lambda batch: masks.append(read(batch)) or masks[-1]
        )
        known = fitted.histories[3][-4:]
        new = known.copy()
        new[-1] = np.setdiff1d(np.arange(48), fitted.histories[3])[0]
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
        found = model._inference.distances.in_histories(everything, np.array([-1]))
        assert sorted(np.unique(found)) == [0, 2, 4]
        model.save(tmp_path / "model")
        loaded = GraphGPT.load(tmp_path / "model")
        ours, theirs = (m.recommend(np.arange(40), 5) for m in (model, loaded))
        assert np.array_equal(ours.score, theirs.score)

    def test_strangers_are_refused(self, fitted):
        with pytest.raises(UnknownIdError, match="item_index 48"):
            fitted.recommend_new([np.array([48])])
        with pytest.raises(UnknownIdError, match="user_index 40"):
            fitted.explain([(40, 0)])
        few = type(fitted.histories)(fitted.histories.offsets[:3], fitted.histories.values)
        with pytest.raises(UnknownIdError, match="cover 2 users"):
            fitted.recommend(np.array([5]), histories=few)
        with pytest.raises(ConfigError, match="k = 0"):
            fitted.recommend(np.array([5]), 0)


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
        with pytest.raises(ConfigError, match="not trained for the explanation task"):
            model.explain([(0, 1)])
        model = small_graph_gpt("content.reviews=false").fit(shop_split)
        assert "explanation" not in model.tasks


class TestStorage:
    @pytest.mark.parametrize("setting", ["attention.gates=true", "attention.kind=none"])
    def test_loaded_is_saved(self, shop_split, tmp_path, setting):
        model = small_graph_gpt("stages=sequence", setting).fit(shop_split)
        model.save(tmp_path / "model")
        loaded = GraphGPT.load(tmp_path / "model")
        assert same_weights(model, loaded) and loaded.config == model.config
        assert loaded.tasks == model.tasks
        ours, theirs = (m.recommend(np.arange(40), 5) for m in (model, loaded))
        assert np.array_equal(ours.score, theirs.score)

    def test_explanations_are_kept(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        loaded = GraphGPT.load(tmp_path / "model")
        pairs = [(0, 1), (7, 3)]
        assert loaded.explain(pairs) == fitted.explain(pairs)

    def test_a_vocabulary_that_does_not_match(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        about = tmp_path / "model" / "model.json"
        values = json.loads(about.read_text())
        values["settings"]["num_items"] += 1
        about.write_text(json.dumps(values))
        with pytest.raises(ModelFolderError, match="words, users and items make"):
            GraphGPT.load(tmp_path / "model")


def test_its_name_tells_its_state(fitted):
    assert "not fitted" in repr(GraphGPT())
    assert "'tiny'" in repr(fitted) and "explanation" in repr(fitted)


def test_equal_seeds_equal_weights(shop_split, fitted):
    assert same_weights(small_graph_gpt().fit(shop_split), fitted)
    assert not same_weights(small_graph_gpt("seed=1").fit(shop_split), fitted)
    assert torch.is_grad_enabled()
