"""Popularity: known answers, ties, histories, and its folder on disk."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from tests.seals import edit as seal_again

from edgewise.data.dataset import Catalog, Dataset, Interactions, Vocabulary
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, EdgewiseError, ModelFolderError, UnknownIdError
from edgewise.files import file_checksum
from edgewise.models.popularity import Popularity
from edgewise.recommender import ItemFilter, Recommender, popularity_scores

# Train counts: item 1 three times, items 0 and 3 twice, item 2 once, items 4 and 5 never.
TRAIN = [(0, 1), (0, 3), (1, 1), (1, 0), (2, 1), (2, 0), (2, 3), (2, 2)]


def rows(pairs: list[tuple[int, int]]) -> Interactions:
    table = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1])


@pytest.fixture
def split() -> Split:
    parts = rows(TRAIN), rows([(0, 4), (1, 4)]), rows([(0, 5), (1, 5)])
    users = Vocabulary(("a", "b", "c", "d"), "user")
    items = Vocabulary(tuple("pqrstu"), "item")
    data = Dataset("tiny", users, items, rows(TRAIN), Catalog.empty(6))
    return Split(data, *parts, kind="leave-one-out")


@pytest.fixture
def model(split) -> Popularity:
    return Popularity().fit(split)


def recommended(model, users, k=10, **kwargs) -> dict[int, list[int]]:
    lists = model.recommend(np.array(users), k, **kwargs)
    return {u: lists.item_index[lists.user_index == u].tolist() for u in users}


def test_ranks_by_train_rows_alone(model):
    (everything,) = recommended(model, [3]).values()
    assert everything[0] == 1
    assert set(everything[1:3]) == {0, 3}
    assert everything[3] == 2
    assert set(everything[4:]) == {4, 5}, "held-out rows count nothing"


def test_history_is_left_out_and_lists_end_with_the_catalogue(model):
    lists = recommended(model, [2, 0], k=3)
    assert set(lists[2]) == {4, 5}
    assert lists[0][:2] == [0, 2]
    assert len(lists[0]) == 3


def test_given_histories_replace_the_known_ones(model, split):
    lists = recommended(model, [0, 3], histories=split.known_before("test"))
    assert 4 not in lists[0]
    assert len(lists[3]) == 6
    nothing = Ragged(np.zeros(5, np.int64), np.empty(0, np.int32))
    assert len(recommended(model, [2], histories=nothing)[2]) == 6


def test_newer_histories_are_counted(model, split):
    candidates = CandidateLists.from_lists(np.array([3]), [np.arange(6)])
    at_fit = np.floor(model.score_candidates(candidates))
    at_test = np.floor(model.score_candidates(candidates, histories=split.known_before("test")))
    assert at_fit.tolist() == [2, 3, 1, 2, 0, 0]
    assert at_test.tolist() == [2, 3, 1, 2, 2, 0]


def test_the_history_of_one_new_user_does_not_erase_the_counts(model):
    newcomer = Ragged(np.array([0, 1]), np.array([1], dtype=np.int32))
    (best,) = recommended(model, [0], k=2, histories=newcomer).values()
    assert set(best) == {0, 3}


def test_repeated_history_rows_do_not_shorten_lists(model):
    histories = Ragged(np.array([0, 4]), np.array([1, 1, 1, 0], dtype=np.int32))
    assert len(recommended(model, [0], k=4, histories=histories)[0]) == 4


def test_scores_descend_and_agree_with_candidates(model):
    lists = model.recommend(np.array([3]))
    assert (np.diff(lists.score) < 0).all()
    assert lists.rank.tolist() == [1, 2, 3, 4, 5, 6]
    candidates = CandidateLists.from_lists(np.array([3]), [lists.item_index])
    assert model.score_candidates(candidates) == pytest.approx(lists.score, rel=1e-6)
    assert np.floor(lists.score).tolist() == [3, 2, 2, 1, 0, 0]


def test_equal_counts_are_shuffled_by_the_seed(split):
    def tied(seed: int) -> tuple[int, ...]:
        order = recommended(Popularity(seed=seed).fit(split), [3])[3]
        return tuple(order[1:3])

    assert tied(0) == tied(0)
    assert {tied(seed) for seed in range(20)} == {(0, 3), (3, 0)}


def test_it_is_a_recommender(model):
    assert isinstance(model, Recommender)
    assert repr(model) == "Popularity(tiny: 4 users, 6 items)"


def test_saved_and_loaded_alike(model, tmp_path):
    folder = tmp_path / "runs" / "pop"
    model.save_pretrained(folder)
    loaded = Popularity.from_pretrained(folder)
    assert loaded.config == model.config
    assert recommended(loaded, [0, 1, 2, 3]) == recommended(model, [0, 1, 2, 3])


def test_saving_again_replaces_the_folder(model, split, tmp_path):
    model.save_pretrained(tmp_path / "pop")
    Popularity(seed=7).fit(split).save_pretrained(tmp_path / "pop")
    assert Popularity.from_pretrained(tmp_path / "pop").config.seed == 7
    assert [path.name for path in tmp_path.iterdir()] == ["pop"]


def truncate(folder):
    path = folder / "histories.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def alter(folder):
    path = folder / "histories.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def edit(**changes):
    def change(folder):
        about = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(about | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "truncated or altered"),
        (alter, "truncated or altered"),
        (lambda folder: (folder / "histories.safetensors").unlink(), "lacks histories.safetensors"),
        (lambda folder: (folder / "model.json").unlink(), "it has no model.json"),
        (lambda folder: (folder / "model.json").write_text('{"kind": '), "not valid JSON"),
        (
            lambda folder: (folder / "model.json").write_text("[]"),
            "holds a list, and an object is wanted",
        ),
        (edit(kind="elmrec"), "holds a 'elmrec' model, not 'popularity'"),
        (edit(version=99), "version 99"),
    ],
)
def test_damaged_folders_are_refused(model, tmp_path, damage, message):
    model.save_pretrained(tmp_path / "pop")
    damage(tmp_path / "pop")
    with pytest.raises(ModelFolderError, match=message):
        Popularity.from_pretrained(tmp_path / "pop")


@pytest.mark.parametrize("kind", ["user", "item"])
def test_other_ids_are_refused_though_their_files_are_sealed(model, tmp_path, kind):
    model.save_pretrained(tmp_path / "pop")
    path = tmp_path / "pop" / f"{kind}s.parquet"
    pl.read_parquet(path).reverse().write_parquet(path)
    checksum = file_checksum(path)
    about = tmp_path / "pop" / "model.json"
    seal_again(about, lambda values: values["sha256"].update({path.name: checksum}), seal=True)
    with pytest.raises(ModelFolderError, match=rf"not the ids .*settings\.data\.{kind}s_sha256"):
        Popularity.from_pretrained(tmp_path / "pop")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelFolderError, match="not a model folder"):
        Popularity.from_pretrained(tmp_path / "nowhere")


def test_impossible_requests_are_refused(model):
    with pytest.raises(UnknownIdError, match="user_index 4: this model knows users 0 to 3"):
        model.recommend(np.array([0, 4]))
    with pytest.raises(UnknownIdError, match="user_index -1"):
        model.recommend(np.array([-1]))
    with pytest.raises(UnknownIdError, match="item_index 8: this model knows items 0 to 5"):
        model.recommend(np.array([0]), histories=Ragged(np.array([0, 1]), np.array([8])))
    with pytest.raises(ConfigError, match="k = 0"):
        model.recommend(np.array([0]), k=0)
    with pytest.raises(EdgewiseError, match="not fitted"):
        Popularity().recommend(np.array([0]))


def test_no_users_no_lists(model):
    assert len(model.recommend(np.array([], dtype=np.int32))) == 0


def test_equal_counts_are_not_in_the_order_of_raw_ids():
    """Import and baseline have one seed, and two draws: one would undo the other."""
    ids = [f"i{n:03}" for n in range(200)]
    items = Vocabulary.shuffled(ids, kind="item", seed=0)
    by_score = np.argsort(-popularity_scores(np.zeros(200), 0))
    places = np.array([ids.index(items.ids[n]) for n in by_score])
    assert 0.3 < (np.diff(places) > 0).mean() < 0.7


@pytest.mark.parametrize("k", [1, 7, 60])
@pytest.mark.parametrize("what", ["all", "seen", "hidden", "both"])
def test_lists_by_the_common_order_are_those_of_all_scores(k, what):
    split = leave_one_out(make_demo_shop(0, num_users=40, num_items=50))
    model, users = Popularity().fit(split), np.arange(40)
    histories = split.known_before("test")
    model.prepare(histories)
    shared = np.random.default_rng(0).random(50) < 0.4
    seen = histories if what in ("seen", "both") else None
    hidden = ItemFilter(seen, shared if what in ("hidden", "both") else None)
    quick = model.rank_items(users, histories, hidden, k)
    plain = Recommender.rank_items(model, users, histories, hidden, k)
    assert (quick.items.offsets == plain.items.offsets).all()
    assert (quick.items.values == plain.items.values).all()
    assert quick.scores.values == pytest.approx(plain.scores.values)
