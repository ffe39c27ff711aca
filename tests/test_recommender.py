"""What every recommender has in common: cold users, masks, folders that are complete, the hub."""

from __future__ import annotations

import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, ModelFolderError, UnknownIdError
from edgewise.models.ease import EASE
from edgewise.models.lightgcn import LightGCN
from edgewise.models.popularity import Popularity
from edgewise.models.registry import load_model
from edgewise.recommender import ItemFilter, local_folder


@pytest.fixture(scope="module")
def split():
    """A shop, and one user who has bought nothing yet."""
    shop = make_demo_shop(1, num_users=20, num_items=48)
    users = Vocabulary((*shop.users.ids, "newest"), "user")
    return leave_one_out(replace(shop, users=users))


@pytest.fixture(scope="module")
def model(split):
    return Popularity(seed=3).fit(split)


# Similar items, from histories of train rows.


@pytest.fixture(scope="module")
def pairs():
    """Train rows a: 0 1 2, b: 0 1, c: 0 3; item 4 is held out alone, item 5 in nobody's rows."""
    rows = {0: [0, 1, 2, 4, 4], 1: [0, 1, 4, 4], 2: [0, 3, 4, 4]}
    users = np.repeat(list(rows), [len(row) for row in rows.values()]).astype(np.int32)
    items = np.concatenate(list(rows.values())).astype(np.int32)
    return leave_one_out(
        Dataset(
            "pairs",
            Vocabulary(("a", "b", "c"), "user"),
            Vocabulary(tuple("ABCDEF"), "item"),
            Interactions(users, items),
            Catalog.empty(6),
        )
    )


def test_items_are_similar_by_who_took_both_in_training(pairs):
    found = Popularity().fit(pairs).similar_items(["A", "C", "E"], 9)
    assert found.unit == "cosine of train co-occurrence"
    frame = found.to_frame()
    assert frame.columns == ["similar_to", "item_id", "score", "rank", "title"]
    # A: 3 users, B: 2 with A, C and D: 1 with A; C: 1 user, who has A and B.
    assert frame["similar_to"].to_list() == ["A", "A", "A", "C", "C"]
    assert frame["item_id"].to_list() == ["B", "C", "D", "B", "A"]
    expected = [2 / 6**0.5, 1 / 3**0.5, 1 / 3**0.5, 1 / 2**0.5, 1 / 3**0.5]
    assert frame["score"].to_list() == pytest.approx(expected)


def test_ease_says_it_by_its_weights_and_embeddings_by_their_cosine(pairs):
    ease = EASE(l2=1.0).fit(pairs)
    found = ease.similar_items(["C"], 9)
    assert found.unit == "EASE weight"
    assert found.item_index[0] == np.argmax(ease.weights[2])
    assert found.score[0] == pytest.approx(ease.weights[2].max())
    assert (found.score > 0).all()
    graph = LightGCN.from_preset("tiny", ["training.epochs=1"]).fit(pairs)
    found = graph.similar_items(["B", "F"], 9)
    vectors = graph.item_vectors().numpy()
    cosines = vectors[1] @ vectors.T / np.linalg.norm(vectors[1]) / np.linalg.norm(vectors, axis=1)
    warm = [0, 2, 3]  # without itself and the items without train rows
    order = sorted(warm, key=lambda item: -cosines[item])
    assert found.unit == "cosine of item embeddings"
    assert found.similar_to.tolist() == [1, 1, 1] and found.item_index.tolist() == order
    assert found.score == pytest.approx(cosines[order], abs=1e-5)


# Users.


def test_a_user_without_a_history_gets_what_is_popular_and_is_told_so(model, split):
    lists = model.recommend(["newest", split.dataset.users.ids[0]], k=4)
    assert lists.cold is not None and lists.cold.tolist() == [True] * 4 + [False] * 4
    frame = lists.to_frame()
    assert frame["cold"].to_list() == lists.cold.tolist()
    best = np.argsort(-np.bincount(split.train.item_index, minlength=48), kind="stable")
    counts = model.data.item_counts
    assert counts[lists.item_index[:4]].tolist() == counts[best[:4]].tolist()
    warm = model.recommend([0], k=4)
    assert not warm.cold.any() and "cold" not in warm.to_frame().columns


def test_cold_is_who_has_no_history_now(model, split):
    known = split.known_before("test")
    given = Ragged.of_rows([*known.rows()[:-1], np.array([5])])
    assert not model.recommend(["newest"], k=2, histories=given).cold.any()
    nobody = Ragged.of_lengths(np.zeros(len(known), np.int64), np.empty(0, np.int32))
    assert model.recommend([0, 1], k=2, histories=nobody).cold.all()
    new = model.recommend_new([[], [5]], k=3)
    assert new.cold.tolist() == [True] * 3 + [False] * 3
    assert set(new.to_frame()["user_id"]) == {"new user 1", "new user 2"}


def test_masks_hold_for_cold_users_too(model):
    items = model.data.items.ids
    lists = model.recommend(["newest"], k=5, allow=items[:4], deny=items[:2])
    assert sorted(lists.item_index.tolist()) == [2, 3]
    asked = CandidateLists.from_lists(np.array([20]), [np.array([4, 7])])
    order = np.argsort(-model.score_candidates(asked))
    counts = model.data.item_counts[[4, 7]][order]
    assert counts[0] >= counts[1]


def test_seen_items_are_listed_where_asked(model):
    seen = set(model.data.histories[0].tolist())
    assert not seen & set(model.recommend([0], k=48).item_index.tolist())
    assert seen <= set(model.recommend([0], k=48, exclude_seen=False).item_index.tolist())


def test_lists_are_no_longer_than_the_catalogue_whatever_is_asked_for(model):
    asked = []

    class Watched(Popularity):
        def rank_items(self, users, histories, hidden, k):
            asked.append(k)
            return super().rank_items(users, histories, hidden, k)

    watched = Watched(seed=3)
    watched._data = model.data
    assert len(watched.recommend([0], k=10**30, exclude_seen=False)) == 48
    assert asked == [48]


def test_nonsense_is_refused(model):
    with pytest.raises(ConfigError, match="k = 0: must be 1 or more"):
        model.recommend([0], k=0)
    with pytest.raises(UnknownIdError, match=r"unknown user id 'newst'.*newest"):
        model.recommend(["newst"])
    with pytest.raises(UnknownIdError, match="item_index 48: this model knows items 0 to 47"):
        model.recommend([0], allow=[48])
    with pytest.raises(ConfigError, match="not trained for the explanation task, only for"):
        model.explain([(0, 0)])
    with pytest.raises(ConfigError, match=r"not fitted yet: call fit\(split\) or"):
        Popularity().recommend([0])
    with pytest.raises(ConfigError, match="unknown configuration key 'sede'"):
        Popularity(sede=3)


def test_a_filter_bans_what_is_seen_and_hidden():
    hidden = np.array([False, True, False, False])
    banned = ItemFilter(Ragged.of_rows([np.array([3]), np.array([], np.int64)]), hidden)
    found = banned.banned(2)
    assert [row.tolist() for row in found] == [[1, 3], [1]]
    scores = np.ones((2, 4))
    banned.apply(scores)
    assert np.isinf(scores).tolist() == [[False, True, False, True], [False, True, False, False]]
    assert [row.tolist() for row in ItemFilter(None, hidden).banned(2)] == [[1], [1]]
    assert [row.tolist() for row in ItemFilter().banned(1)] == [[]]


# Folders and the hub.


def test_a_model_folder_is_complete(split, tmp_path):
    """It answers for raw ids where neither the run nor the data set is left."""
    split.dataset.save(tmp_path / "run" / "data")
    fitted = Popularity(seed=3).fit(split)
    fitted.save_pretrained(tmp_path / "run" / "model", card={"protocol": "honest v1"})
    expected = fitted.recommend([split.dataset.users.ids[4]], k=5).to_frame()
    moved = Path(shutil.copytree(tmp_path / "run" / "model", tmp_path / "elsewhere" / "model"))
    shutil.rmtree(tmp_path / "run")
    loaded = load_model(moved)
    assert type(loaded) is Popularity and repr(loaded) == "Popularity(demo: 21 users, 48 items)"
    assert loaded.recommend([split.dataset.users.ids[4]], k=5).to_frame().equals(expected)
    assert expected["title"].to_list() and all(expected["title"])
    assert loaded.recommend(["newest"], k=2).cold.all()
    card = (moved / "README.md").read_text()
    for words in ("# Popularity on demo", "| protocol | honest v1 |", "| seed | 3 |",
                  split.dataset.checksum, "## Licence", "edgewise import load_model"):  # fmt: skip
        assert words in card


def test_a_loaded_model_scores_for_a_newcomer_first(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    loaded = Popularity.from_pretrained(tmp_path / "model")
    asked = CandidateLists.from_lists(np.array([0]), [np.array([1, 2, 3])])
    scores = loaded.score_candidates(asked, new_users=[[5]])
    assert np.array_equal(scores, model.score_candidates(asked, new_users=[[5]]))


# Filters on attributes, and what folders keep of them.


def test_filters_keep_items_of_a_brand_in_every_question(split, model, tmp_path):
    catalog = split.dataset.catalog
    brand, shelf = catalog.brand[3], catalog.categories[3][0]
    model.save_pretrained(tmp_path / "model")
    for each in (model, Popularity.from_pretrained(tmp_path / "model")):
        lists = (
            each.recommend([0, 1], 48, filters={"brand": brand}, exclude_seen=False),
            each.recommend_new([[3]], 48, filters={"brand": [brand], "categories": shelf}),
            each.similar_items([3], 48, filters={"brand": brand}),
        )
        for found in lists:
            assert len(found) and {catalog.brand[i] for i in found.item_index} == {brand}
        assert len(lists[0]) == 2 * catalog.brand.count(brand), "all of the brand"
        denied = each.recommend([0], 48, filters={"brand": brand}, deny=[3], exclude_seen=False)
        assert len(denied) == catalog.brand.count(brand) - 1
    with pytest.raises(ConfigError, match="no item has 'Nobody'"):
        model.recommend([0], filters={"brand": "Nobody"})


def test_a_folder_without_attributes_is_read_and_says_so_when_it_is_filtered(model, tmp_path):
    old = copy(model)
    old._data = replace(model.data, facets=None)
    old.save_pretrained(tmp_path / "old")
    loaded = Popularity.from_pretrained(tmp_path / "old")
    assert np.array_equal(loaded.recommend([0]).item_index, model.recommend([0]).item_index)
    with pytest.raises(ConfigError, match="saved without brands and categories; fit it again"):
        loaded.recommend([0], filters={"brand": "x"})


def test_tables_for_pandas(model):
    pytest.importorskip("pandas")
    frame = model.recommend([0], 3).to_pandas()
    assert list(frame.columns)[:4] == ["user_id", "item_id", "score", "rank"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert list(model.similar_items([0], 3).to_pandas().columns)[1] == "item_id"


class Hub:
    """The hub as far as we call it; repositories are folders."""

    def __init__(self, place: Path) -> None:
        self.place, self.calls = place, []

    def __call__(self, token=None):
        self.calls.append(("login", token))
        return self

    def create_repo(self, repo_id, *, private, exist_ok):
        self.calls.append(("create", repo_id, private, exist_ok))

    def upload_folder(self, *, repo_id, folder_path, **more):
        shutil.copytree(folder_path, self.place / repo_id)
        self.calls.append(("upload", more))
        return huggingface_hub.CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/1",
            commit_message="",
            commit_description="",
            oid="1",
        )

    def snapshot_download(self, repo_id, **more):
        self.calls.append(("download", more))
        if not (self.place / repo_id).is_dir():
            raise LocalEntryNotFoundError("no network\nand nothing in the cache")
        return str(self.place / repo_id)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def test_a_model_goes_to_the_hub_and_comes_back_by_its_name(model, hub):
    address = model.push_to_hub("me/shop", private=True, token="t", commit_message="first")
    assert address == "https://huggingface.co/me/shop/commit/1"
    assert hub.calls == [
        ("login", "t"),
        ("create", "me/shop", True, True),
        ("upload", {"commit_message": "first"}),
    ]
    for load in (Popularity.from_pretrained, load_model):
        loaded = load("me/shop", revision="main")
        assert hub.calls[-1] == ("download", {"revision": "main"})
        lists = loaded.recommend([0, 1], k=3)
        assert lists.to_frame().equals(model.recommend([0, 1], k=3).to_frame())


def test_what_the_hub_does_not_have_is_named(hub):
    with pytest.raises(ModelFolderError, match=r"me/other: no such folder here, .*nothing in the"):
        load_model("me/other")


def test_a_folder_goes_before_the_hub_and_paths_never_ask_it(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("me/shop").mkdir(parents=True)
    for name in ("me/shop", "./shop", "/absent/folder", "shop", "a/b/c"):
        assert local_folder(name) == Path(name)
    assert hub.calls == []
