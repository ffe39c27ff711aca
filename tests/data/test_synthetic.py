"""The demo shop: reproducible, tidy, and solved neither by popularity nor by the graph alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.negatives import uniform_candidates
from edgewise.data.splits import Split, leave_one_out, time_split
from edgewise.data.synthetic import ASPECTS, make_demo_shop
from edgewise.data.texts import ExplanationPairs, explanation_split
from edgewise.errors import ConfigError

SEEDS = (0, 1, 2)


def times_of(dataset: Dataset) -> np.ndarray:
    assert dataset.interactions.timestamp is not None
    return dataset.interactions.timestamp


def texts_of(dataset: Dataset) -> tuple[list[str], list[str]]:
    """Reviews and summaries."""
    rows = dataset.interactions
    assert rows.review is not None
    assert rows.summary is not None
    return rows.review.to_list(), rows.summary.to_list()


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_demo_shop()


def test_equal_arguments_give_equal_shops(shop: Dataset) -> None:
    again, other = make_demo_shop(), make_demo_shop(seed=1)
    assert shop.users == again.users
    assert shop.items == again.items
    assert shop.catalog == again.catalog
    for name in ("user_index", "item_index", "timestamp", "rating"):
        first, second = getattr(shop.interactions, name), getattr(again.interactions, name)
        np.testing.assert_array_equal(first, second)
    assert texts_of(shop) == texts_of(again)
    assert shop.items != other.items


def test_shape_of_the_shop(shop: Dataset) -> None:
    rows = shop.interactions
    assert (shop.num_users, shop.num_items) == (400, 240)
    assert 4000 < len(rows) < 5000
    lengths = np.bincount(rows.user_index, minlength=shop.num_users)
    assert lengths.min() >= 3
    pairs = rows.user_index.astype(np.int64) * shop.num_items + rows.item_index
    assert len(np.unique(pairs)) == len(pairs)
    popularity = np.sort(np.bincount(rows.item_index, minlength=shop.num_items))[::-1]
    assert popularity[:48].sum() > 0.4 * len(rows)


def test_rows_are_in_order_of_time_with_same_day_ties(shop: Dataset) -> None:
    rows = shop.interactions
    same_user = np.diff(rows.user_index) == 0
    assert (np.diff(rows.user_index) >= 0).all()
    gaps = np.diff(times_of(shop))[same_user]
    assert (gaps >= 0).all()
    assert (times_of(shop) % 86_400 == 0).all()
    assert 0.05 < (gaps == 0).mean() < 0.2


def test_same_day_order_tells_nothing(shop: Dataset) -> None:
    rows, times = shop.interactions, times_of(shop)
    joined, tied = np.diff(rows.user_index) == 0, np.diff(times) == 0
    follows = np.zeros((shop.num_items, shop.num_items))
    before, after = rows.item_index[:-1], rows.item_index[1:]
    np.add.at(follows, (before[joined & ~tied], after[joined & ~tied]), 1)
    habit = follows.argmax(axis=1)
    # A row, then two rows of one later day: in the order drawn, habit would always come first.
    lone = joined[:-1] & joined[1:] & ~tied[:-1] & tied[1:]
    previous, first, second = (rows.item_index[shift:][: len(lone)][lone] for shift in range(3))
    num_first, num_second = ((habit[previous] == item).sum() for item in (first, second))
    assert num_first + num_second > 60
    assert abs(num_first - num_second) < 4 * np.sqrt(num_first + num_second)


def test_catalog_is_readable(shop: Dataset) -> None:
    catalog = shop.catalog
    assert len(set(catalog.title)) == shop.num_items
    assert len({categories[1] for categories in catalog.categories}) == 8
    for title, brand, categories, description in zip(
        catalog.title, catalog.brand, catalog.categories, catalog.description, strict=True
    ):
        assert title.startswith(brand)
        kind = categories[2].lower()
        assert title.endswith(kind)
        assert kind in description
        assert "{" not in title + description


def test_texts_and_ratings(shop: Dataset) -> None:
    rows = shop.interactions
    reviews, summaries = texts_of(shop)
    for item, review, summary in zip(rows.item_index, reviews, summaries, strict=True):
        assert "{" not in review + summary
        if review:
            assert shop.catalog.categories[item][2].lower() in review.lower()
    filled = [summary for summary in summaries if summary]
    assert 0.85 < len(filled) / len(rows) < 0.95
    assert len(set(filled)) > 0.3 * len(filled)
    counts = np.bincount(np.asarray(rows.rating).astype(int), minlength=6)
    assert counts.argmax() == 5
    assert counts[1:].min() > 0


def test_ids_carry_no_order(shop: Dataset) -> None:
    assert all(raw.startswith("u") for raw in shop.users.ids)
    assert all(raw.startswith("SKU-") for raw in shop.items.ids)
    rows = shop.interactions
    same_user = np.diff(rows.user_index) == 0
    sorted_place = np.argsort(np.argsort(shop.items.ids))
    for numbers in (rows.item_index, sorted_place[rows.item_index]):
        steps = np.diff(numbers.astype(int))[same_user]
        # The rule "next item = last item + 1" that beats trained models on leaking numbers.
        assert (steps == 1).mean() < 0.02
    first_row = np.unique(rows.user_index, return_index=True)[1]
    assert abs(np.corrcoef(np.arange(400), times_of(shop)[first_row])[0, 1]) < 0.2


def test_can_be_split_by_time(shop: Dataset) -> None:
    split = time_split(shop)
    assert min(len(split.valid), len(split.test)) > 300


@pytest.mark.parametrize(("users", "items"), [(1, 48), (30, 50), (50, 1000)])
def test_other_sizes(users: int, items: int) -> None:
    shop = make_demo_shop(seed=3, num_users=users, num_items=items)
    assert (shop.num_users, shop.num_items) == (users, items)
    assert len(set(shop.catalog.title)) == items
    assert set(np.unique(shop.interactions.user_index)) == set(range(users))


@pytest.mark.parametrize(("users", "items"), [(0, 240), (10, 47)])
def test_impossible_sizes(users: int, items: int) -> None:
    with pytest.raises(ConfigError, match=f"num_users={users}, num_items={items}"):
        make_demo_shop(num_users=users, num_items=items)


class Rankers:
    """Rules without training, each a matrix of scores ``[U, I]``, from train and validation."""

    def __init__(self, split: Split) -> None:
        known, num_items = split.known_before("test"), split.dataset.num_items
        self.seen = np.zeros((len(known), num_items))
        self.follows = np.zeros((num_items, num_items))
        for user in range(len(known)):
            items = known[user]
            self.seen[user, items] = 1
            np.add.at(self.follows, (items[:-1], items[1:]), 1)
        self.last = np.array([known[user][-1] for user in range(len(known))])
        self.popularity = np.tile(self.seen.sum(axis=0), (len(known), 1))
        self.normal = self.seen / np.sqrt(self.seen.sum(axis=1, keepdims=True))
        self.normal /= np.sqrt(np.maximum(self.popularity[0], 1))

    def random(self) -> np.ndarray:
        return np.random.default_rng(0).random(self.seen.shape)

    def spectral(self, width: int = 24) -> np.ndarray:
        """Truncated SVD of the normalised graph, read back in units of rows."""
        left, values, right = np.linalg.svd(self.normal, full_matrices=False)
        scores = (left[:, :width] * values[:width]) @ right[:width]
        return scores * np.sqrt(np.maximum(self.popularity, 1e-9))

    def co_occurrence(self) -> np.ndarray:
        """What is bought with anything of the history, in whatever order."""
        cosine = self.normal.T @ self.normal
        np.fill_diagonal(cosine, 0)
        return self.seen @ cosine

    def transition(self) -> np.ndarray:
        return self.follows[self.last] + 1e-6 * self.popularity

    def backward_transition(self) -> np.ndarray:
        return self.follows.T[self.last] + 1e-6 * self.popularity


def direct_hit_rate(split: Split, scores: np.ndarray) -> float:
    """HR@10 among 99 negatives, ties against."""
    rows, lists = split.test, uniform_candidates(split, "test")
    users = rows.user_index
    items = lists.items.reshape(len(users), 100)
    better = scores[users[:, None], items] >= scores[users, rows.item_index][:, None]
    return float((better.sum(axis=1) <= 10).mean())


def full_hit_rate(split: Split, scores: np.ndarray, seen: np.ndarray) -> float:
    """HR@10 among all unseen items, ties against."""
    users, items = split.test.user_index, split.test.item_index
    scores = np.where(seen > 0, -np.inf, scores)[users]
    better = scores >= scores[np.arange(len(users)), items][:, None]
    return float((better.sum(axis=1) <= 10).mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_popularity_graph_and_order_each_matter(seed: int) -> None:
    split = leave_one_out(make_demo_shop(seed))
    rankers = Rankers(split)
    direct = {
        "random": direct_hit_rate(split, rankers.random()),
        "popularity": direct_hit_rate(split, rankers.popularity),
        "spectral": direct_hit_rate(split, rankers.spectral()),
        "co-occurrence": direct_hit_rate(split, rankers.co_occurrence()),
        "transition": direct_hit_rate(split, rankers.transition()),
    }
    full = {
        "popularity": full_hit_rate(split, rankers.popularity, rankers.seen),
        "co-occurrence": full_hit_rate(split, rankers.co_occurrence(), rankers.seen),
        "transition": full_hit_rate(split, rankers.transition(), rankers.seen),
        "backward": full_hit_rate(split, rankers.backward_transition(), rankers.seen),
    }
    assert 0.05 < direct["random"] < 0.15
    assert direct["popularity"] > direct["random"] + 0.1
    assert direct["spectral"] > direct["popularity"] + 0.12
    assert direct["co-occurrence"] > direct["popularity"] + 0.15
    assert full["co-occurrence"] > full["popularity"] + 0.1
    assert full["transition"] > full["co-occurrence"] + 0.1
    assert full["transition"] > full["backward"] + 0.15
    assert max(*direct.values(), *full.values()) < 0.75


def aspects_of(pairs: ExplanationPairs, shop: Dataset) -> np.ndarray:
    """The aspect that each text speaks of, by its adjective and phrases."""
    found = []
    for item, text in zip(pairs.item_index, pairs.text, strict=True):
        # A bike light is not light for that.
        rest = text.lower().replace(shop.catalog.categories[item][2].lower(), "")
        marks = [(a.adjective, *a.praise, *a.complaint) for a in ASPECTS]
        [aspect] = [n for n, words in enumerate(marks) if any(w.lower() in rest for w in words)]
        found.append(aspect)
    return np.array(found)


def test_explanations_depend_on_user_and_item(shop: Dataset) -> None:
    explained = explanation_split(leave_one_out(shop))
    train, test = explained.train, explained.test
    by_user = np.full((shop.num_users, len(ASPECTS)), 0.1)
    by_item = np.full((shop.num_items, len(ASPECTS)), 0.1)
    aspects = aspects_of(train, shop)
    np.add.at(by_user, (train.user_index, aspects), 1)
    np.add.at(by_item, (train.item_index, aspects), 1)
    guesses = {
        "overall": np.tile(by_user.sum(axis=0), (len(test), 1)),
        "user": by_user[test.user_index],
        "item": by_item[test.item_index],
        "both": by_user[test.user_index] * by_item[test.item_index],
    }
    truth = aspects_of(test, shop)
    share = {name: (guess.argmax(axis=1) == truth).mean() for name, guess in guesses.items()}
    assert share["overall"] < 0.25
    assert share["user"] > share["overall"] + 0.1
    assert share["item"] > share["overall"] + 0.1
    assert share["both"] > max(share["user"], share["item"]) + 0.05
