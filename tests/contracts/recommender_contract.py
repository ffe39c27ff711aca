"""What every recommender must do; inherit it and say how to build one.

A test module needs only::

    class TestMine(RecommenderContract):
        finds_groups = True

        def build(self, seed):
            return Mine(seed=seed)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from tests.contracts.checkerboard import Checkerboard, checkerboard

from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, EdgewiseError, ModelFolderError, UnknownIdError
from edgewise.evaluation.evaluate import evaluate
from edgewise.recommender import ItemFilter, Recommender

TOLERANCE = 1e-4


class RecommenderContract:
    """The contract on the checkerboard world.

    Attributes:
        finds_groups: whether it personalises; otherwise it must stay near chance.
    """

    finds_groups: ClassVar[bool] = True

    def build(self, seed: int) -> Recommender:
        """A recommender that is not fitted yet."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> Checkerboard:
        return checkerboard()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, world) -> Recommender:
        return cls().build(seed=0).fit(world.split)

    @pytest.fixture(scope="class")
    @classmethod
    def everyone(cls, world) -> np.ndarray:
        return np.arange(world.split.dataset.num_users)

    def test_it_is_a_recommender(self, model):
        assert isinstance(model, Recommender)
        assert model.name and model.label and set(model.PRESETS) >= {"tiny", "cpu"}

    def test_withheld_items_are_found(self, model, world, everyone):
        """Of the four unseen items of a user's group and the twelve others, which come first?"""
        found = model.recommend(everyone, 4)
        right = world.user_group[found.user_index] == world.item_group[found.item_index]
        hits = {(u, i) for u, i in zip(found.user_index, found.item_index, strict=True)}
        test = world.split.test
        hit_rate = np.mean([(u, i) in hits for u, i in zip(*_pairs(test), strict=True)])
        if self.finds_groups:
            assert right.mean() > 0.8, "chance is 0.25"
            assert hit_rate > 0.7, "chance is 0.25"
        else:
            assert 0.05 < hit_rate < 0.5, "the same items for everybody: chance"

    def test_candidates_of_the_group_score_highest(self, model, world, everyone):
        users, positives = _pairs(world.split.test)
        lists = [
            np.append(np.flatnonzero(world.item_group != world.user_group[user])[:6], item)
            for user, item in zip(users, positives, strict=True)
        ]
        scores = model.score_candidates(CandidateLists.from_lists(users, lists)).reshape(-1, 7)
        best = (scores.argmax(1) == 6).mean()
        if self.finds_groups:
            assert best > 0.7, "chance is 1/7"
        else:
            assert 0 < best < 0.5, "the same scores for everybody: chance"

    def test_no_seen_and_no_repeated_items(self, model, world, everyone):
        known = world.split.known_before("valid")
        found = model.recommend(everyone, 10)
        for user in everyone:
            items = found.item_index[found.user_index == user].tolist()
            assert len(set(items)) == len(items) == 10
            assert not set(items) & set(known[user].tolist())

    def test_ranks_count_from_1_and_scores_fall(self, model, everyone):
        found = model.recommend(everyone[:5], 6)
        assert found.user_index.tolist() == np.repeat(everyone[:5], 6).tolist()
        assert found.rank.tolist() == list(range(1, 7)) * 5
        assert (np.diff(found.score.reshape(5, 6), axis=1) <= 0).all()

    @pytest.mark.parametrize("k", [1, 3])
    def test_k_items_the_best_of_a_longer_list(self, model, everyone, k):
        some, more = model.recommend(everyone[:6], k), model.recommend(everyone[:6], 8)
        assert len(some) == 6 * k
        assert np.array_equal(some.item_index, more.item_index[more.rank <= k])

    def test_a_list_ends_with_the_catalogue(self, model, world, everyone):
        num_items = world.split.dataset.num_items
        seen = len(world.split.known_before("valid")[0])
        assert len(model.recommend(everyone[:1], 1000)) == num_items - seen

    def test_a_batch_is_its_users(self, model, everyone):
        users = everyone[[5, 2, 9]]
        together = model.recommend(users, 4)
        for place, user in enumerate(users):
            alone = model.recommend(np.array([user]), 4)
            rows = slice(4 * place, 4 * place + 4)
            assert np.array_equal(together.item_index[rows], alone.item_index)
            assert together.score[rows] == pytest.approx(alone.score, abs=TOLERANCE)

    def test_candidates_of_any_lengths(self, model, everyone):
        lists = [np.array([3, 1, 8]), np.array([5]), np.array([], dtype=int), np.arange(20)]
        users = everyone[:4]
        together = model.score_candidates(CandidateLists.from_lists(users, lists))
        alone = [
            model.score_candidates(CandidateLists.from_lists(users[n : n + 1], lists[n : n + 1]))
            for n in range(4)
        ]
        assert [len(scores) for scores in alone] == [3, 1, 0, 20]
        assert together == pytest.approx(np.concatenate(alone), abs=TOLERANCE)

    def test_saved_and_loaded_alike(self, model, everyone, tmp_path):
        model.save_pretrained(tmp_path / "model")
        loaded = type(model).from_pretrained(tmp_path / "model")
        ours, theirs = model.recommend(everyone, 5), loaded.recommend(everyone, 5)
        assert np.array_equal(ours.item_index, theirs.item_index)
        assert np.array_equal(ours.score, theirs.score)
        assert loaded.config == model.config and loaded.tasks == model.tasks
        assert ours.to_frame().equals(theirs.to_frame())
        newcomers = [m.recommend_new([["i0", "i3"]], 3).item_index for m in (model, loaded)]
        assert np.array_equal(*newcomers)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def test_a_truncated_folder_is_refused(self, model, tmp_path):
        model.save_pretrained(tmp_path / "model")
        largest = max((tmp_path / "model").iterdir(), key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-5])
        with pytest.raises(ModelFolderError, match=largest.name):
            type(model).from_pretrained(tmp_path / "model")
        with pytest.raises(ModelFolderError):
            type(model).from_pretrained(tmp_path / "nowhere")

    def test_equal_seeds_equal_lists(self, model, world, everyone):
        again = self.build(seed=0).fit(world.split)
        ours, theirs = model.recommend(everyone, 5), again.recommend(everyone, 5)
        assert np.array_equal(ours.item_index, theirs.item_index)
        assert np.array_equal(ours.score, theirs.score)

    def test_newer_histories_are_left_out(self, model, world, everyone):
        newer = world.split.known_before("test")
        found = model.recommend(everyone, 8, histories=newer)
        pairs = zip(found.user_index, found.item_index, strict=True)
        assert not any(item in newer[user] for user, item in pairs)

    def test_seen_items_may_be_asked_for(self, model, world, everyone):
        num_items = world.split.dataset.num_items
        known = world.split.known_before("valid")
        found = model.recommend(everyone[:3], num_items, exclude_seen=False)
        assert len(found) == 3 * num_items, "every item, the seen ones among them"
        for user in everyone[:3]:
            assert set(known[user]) <= set(found.item_index[found.user_index == user])

    def test_only_what_is_allowed_is_listed(self, model, world, everyone):
        allowed = ["i3", "i7", "i11", "i20"]
        found = model.recommend(everyone[:4], 24, exclude_seen=False, allow=allowed)
        assert sorted(found.item_index.tolist()) == sorted([3, 7, 11, 20] * 4)
        fewer = model.recommend(everyone[:4], 24, allow=allowed)
        known = world.split.known_before("valid")
        for user in everyone[:4]:
            items = fewer.item_index[fewer.user_index == user].tolist()
            assert set(items) == {3, 7, 11, 20} - set(known[user].tolist())
        assert len(model.recommend(everyone[:4], 3, allow=[])) == 0

    @pytest.mark.parametrize("exclude_seen", [True, False])
    def test_what_is_denied_makes_room_for_others(self, model, everyone, exclude_seen):
        asked = {"exclude_seen": exclude_seen}
        denied = np.unique(model.recommend(everyone[:4], 1, **asked).item_index)
        found = model.recommend(everyone[:4], 3, deny=denied, **asked)
        assert len(found) == 12
        assert not set(found.item_index.tolist()) & set(denied.tolist())
        both = model.recommend(everyone[:4], 3, allow=denied, deny=denied, **asked)
        assert len(both) == 0

    def test_raw_ids_in_and_out(self, model, everyone):
        numbers, ids = everyone[[5, 2]], ["u5", "u2"]
        found, expected = (
            model.recommend(ids, 3, deny=["i4"]),
            model.recommend(numbers, 3, deny=[4]),
        )
        assert np.array_equal(found.item_index, expected.item_index)
        frame = found.to_frame()
        assert frame["user_id"].to_list() == ["u5"] * 3 + ["u2"] * 3
        assert frame["item_id"].to_list() == [f"i{item}" for item in found.item_index]
        with pytest.raises(UnknownIdError, match="nobody"):
            model.recommend(["u5", "nobody"], 3)
        with pytest.raises(UnknownIdError, match="nothing"):
            model.recommend(ids, 3, allow=["nothing"])

    def test_without_a_history_what_is_popular_is_listed_and_said_to_be(
        self, model, world, everyone
    ):
        known = world.split.known_before("valid")
        rows = known.rows()
        rows[1] = np.empty(0, np.int32)
        found = model.recommend(everyone[:3], 4, histories=Ragged.of_rows(rows))
        assert len(found) == 12 and np.isfinite(found.score).all()
        assert found.cold.tolist() == [False] * 4 + [True] * 4 + [False] * 4
        assert found.to_frame()["cold"].to_list() == found.cold.tolist()
        counts = np.bincount(world.split.train.item_index, minlength=24)
        listed = counts[found.item_index[4:8]]
        assert listed.tolist() == np.sort(counts)[::-1][:4].tolist()
        lists = CandidateLists.from_lists(everyone[:3], [found.item_index[4:8]] * 3)
        scores = model.score_candidates(lists, histories=Ragged.of_rows(rows)).reshape(3, 4)
        assert np.isfinite(scores).all() and (np.diff(scores[1]) < 0).all()
        nothing = Ragged(np.zeros(len(known) + 1, np.int64), np.empty(0, np.int32))
        assert model.recommend(everyone[:2], 4, histories=nothing).cold.all()

    def test_people_not_in_the_data_are_answered_from_their_items(self, model, world):
        items = [np.flatnonzero(world.item_group == group)[:6] for group in (0, 1)]
        ids = [[f"i{item}" for item in row] for row in items]
        found, expected = model.recommend_new(ids, 3), model.recommend_new(items, 3)
        assert np.array_equal(found.item_index, expected.item_index)
        assert found.user_index.tolist() == [0, 0, 0, 1, 1, 1]
        assert not any(set(found.item_index[3 * n : 3 * n + 3]) & set(items[n]) for n in (0, 1))
        assert found.to_frame()["item_id"].to_list() == [f"i{item}" for item in found.item_index]
        if self.finds_groups:
            assert world.item_group[found.item_index].tolist() == [0, 0, 0, 1, 1, 1]
        again = model.recommend_new(ids[:1], 8, exclude_seen=False, deny=ids[0][:1])
        assert len(again) == 8 and items[0][0] not in again.item_index
        lists = CandidateLists.from_lists(np.zeros(1, int), [np.arange(24)])
        scores = model.score_candidates(lists, new_users=ids[:1])
        assert scores.shape == (24,) and np.isfinite(scores).all()

    def test_a_person_without_history_is_answered(self, model):
        found = model.recommend_new([[]], 3)
        assert len(found) == 3 and found.cold.all()
        assert len(model.recommend_new([], 3)) == 0

    def test_everybody_may_be_shown_other_items(self, model, world):
        """A user, somebody who is not in the data and somebody without items, in one question."""
        own, new = model.data.histories[0], np.flatnonzero(world.item_group == 1)[:6]
        histories = Ragged.of_rows([own, new, np.empty(0, np.int64)])
        bans = [np.union1d(own, [3]), new, np.arange(20)]
        banned = ItemFilter(Ragged.of_rows(bans))
        lists = model.rank(np.array([0, -1, -1]), histories, 3, banned)[0]
        assert lists.lengths.tolist() == [3, 3, 3]
        for row, ban in zip(lists.rows(), bans, strict=True):
            assert not np.isin(row, ban).any()
        assert np.array_equal(lists[0], model.recommend([0], 3, deny=[3]).item_index)
        assert np.array_equal(lists[1], model.recommend_new([new], 3).item_index)
        popular = model.recommend_new([[]], 3, deny=bans[2]).item_index
        assert np.array_equal(lists[2], popular)

    def test_similar_items(self, model, world, tmp_path):
        """Whoever took one item of a group took nearly all of it, and none of the other group."""
        found = model.similar_items(np.arange(24), 3)
        assert np.isfinite(found.score).all() and found.unit
        assert not (found.item_index == found.similar_to).any()
        for item in np.unique(found.similar_to):
            rows = found.similar_to == item
            assert found.rank[rows].tolist() == list(range(1, rows.sum() + 1))
            assert (np.diff(found.score[rows]) <= 0).all()
            assert len(set(found.item_index[rows])) == rows.sum() <= 3
        right = world.item_group[found.similar_to] == world.item_group[found.item_index]
        assert right.mean() > 0.7, "chance is 11/23"
        frame = model.similar_items(["i5"], 1000, allow=["i5", "i3", "i7"], deny=["i7"]).to_frame()
        assert set(frame["item_id"]) <= {"i3"} and set(frame["similar_to"]) <= {"i5"}
        with pytest.raises(UnknownIdError, match="nothing"):
            model.similar_items(["nothing"])

    def test_it_is_measured_in_one_call(self, model, world):
        reports = evaluate(model, world.split, ks=[4], max_users=4)
        assert set(reports) == {"direct", "sequential"} & set(model.tasks)
        assert all(0 <= each.metrics["HitRate@4"].mean <= 1 for each in reports.values())

    def test_vectors_of_users_and_items_rank_as_it_does_or_there_are_none(
        self, model, world, everyone
    ):
        """Where it says so, scores are dot products; a language model's vectors are told apart."""
        try:
            items, users = model.item_embeddings(), model.user_embeddings(["u5", "u2"])
        except ConfigError as error:
            assert "has no vectors" in str(error) and not model.ranks_by_embeddings
            return
        assert items.dtype == users.dtype == np.float32
        assert items.shape[0] == 24 and users.shape == (2, items.shape[1])
        assert np.isfinite(items).all() and np.isfinite(users).all()
        assert model.user_embeddings().shape == (len(everyone), items.shape[1])
        assert model.user_embeddings()[[5, 2]] == pytest.approx(users, abs=TOLERANCE)
        if model.ranks_by_embeddings:
            found = model.recommend(["u5"], 24)
            assert users[0] @ items[found.item_index].T == pytest.approx(found.score, abs=1e-3)
            rows = world.split.known_before("valid").rows()
            rows[5] = rows[5][:0]
            nothing = model.user_embeddings([5], histories=Ragged.of_rows(rows))
            assert not nothing.any()

    def test_unknown_items_are_refused(self, model):
        with pytest.raises(UnknownIdError, match="item_index 24"):
            model.recommend_new([[24]], 3)
        with pytest.raises(UnknownIdError, match="item_index 24"):
            model.score_candidates(CandidateLists.from_lists(np.array([0]), [np.array([24])]))

    def test_a_task_it_does_not_know_is_refused(self, model, everyone):
        if "explanation" not in model.tasks:
            with pytest.raises(ConfigError, match="not trained for the explanation task"):
                model.explain([(0, 0)])
        with pytest.raises(ConfigError, match="k = 0"):
            model.recommend(everyone[:1], 0)

    def test_no_users_no_lists(self, model):
        assert len(model.recommend(np.array([], dtype=np.int64), 3)) == 0

    def test_unknown_users_are_refused(self, model, world):
        stranger = world.split.dataset.num_users
        for user in (stranger, -1):
            with pytest.raises(UnknownIdError, match=f"user_index {user}"):
                model.recommend(np.array([user]), 3)

    def test_it_must_be_fitted_first(self):
        with pytest.raises(EdgewiseError, match="fit"):
            self.build(seed=0).recommend(np.array([0]), 3)


def _pairs(rows) -> tuple[np.ndarray, np.ndarray]:
    return rows.user_index, rows.item_index
