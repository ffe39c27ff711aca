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
from edgewise.errors import EdgewiseError, ModelFolderError, UnknownIdError
from edgewise.recommender import Recommender

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

    def test_it_meets_the_protocol(self, model):
        assert isinstance(model, Recommender)

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

    def test_an_empty_history_is_answered(self, model, world, everyone):
        num_users = world.split.dataset.num_users
        nothing = Ragged(np.zeros(num_users + 1, np.int64), np.empty(0, np.int32))
        found = model.recommend(everyone[:2], 4, histories=nothing)
        assert len(found) == 8 and np.isfinite(found.score).all()

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
