"""The protocols: what models are told, what they are measured on, and known answers."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest

from edgewise.data.item_lists import Recommendations
from edgewise.data.splits import leave_one_out, ratio_split
from edgewise.data.texts import ExplanationPairs
from edgewise.errors import ConfigError, EdgewiseError
from edgewise.evaluation.evaluate import (
    evaluate_direct,
    evaluate_explanations,
    evaluate_sequential,
    usual_metrics,
)
from edgewise.models.popularity import Popularity


def oracle_scores(split, part: str) -> np.ndarray:
    """The held-out item first, all others equal."""
    scores = np.zeros((split.dataset.num_users, split.dataset.num_items))
    held_out = split.held_out(part)
    scores[held_out.user_index, held_out.item_index] = 1
    return scores


@pytest.mark.parametrize("evaluate", [evaluate_direct, evaluate_sequential])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_who_knows_the_answer_scores_1_and_who_denies_it_0(evaluate, part, small_split, scripted):
    knows = evaluate(scripted(oracle_scores(small_split, part)), small_split, part)
    denies = evaluate(scripted(-oracle_scores(small_split, part)), small_split, part)
    for name in ("HitRate@5", "NDCG@10", "MRR@5"):
        assert (knows.metrics[name].mean, denies.metrics[name].mean) == (1, 0)
    assert knows.num_users == len(knows.per_user) == 40


def test_a_constant_model_gains_nothing(small_split, scripted):
    report = evaluate_direct(scripted(np.zeros((40, 30))), small_split, ks=(24,), num_negatives=24)
    assert report.metrics["HitRate@24"].mean == 0


@pytest.mark.parametrize("evaluate", [evaluate_direct, evaluate_sequential])
@pytest.mark.parametrize(("part", "length"), [("valid", 3), ("test", 4)])
def test_models_are_told_earlier_parts_only(evaluate, part, length, small_split, scripted):
    model = scripted(np.random.default_rng(0).random((40, 30)))
    evaluate(model, small_split, part)
    (histories,) = model.asked
    assert (histories.lengths == length).all()
    expected = small_split.dataset.interactions.item_index.reshape(40, 5)[:, :length]
    assert np.array_equal(histories.values.reshape(40, length), expected)


def test_random_scores_find_the_positive_as_often_as_chance(make_dataset, scripted):
    generator = np.random.default_rng(5)
    sequences = [generator.choice(200, 4, replace=False).tolist() for _ in range(2000)]
    split = leave_one_out(make_dataset(sequences, 200))
    report = evaluate_direct(scripted(generator.random((2000, 200))), split)
    estimate = report.metrics["HitRate@10"]
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0.10 < estimate.high < estimate.low + 0.03


def test_rows_and_users_stand_together(small_split, scripted):
    scores = oracle_scores(small_split, "test")
    scores[7] = -scores[7]
    for evaluate in (evaluate_direct, evaluate_sequential):
        rows = evaluate(scripted(scores), small_split, ks=(5,)).per_user
        assert rows.filter(rows["HitRate@5"] == 0)["user_id"].to_list() == ["u7"]
        assert [f"u{u}" for u in rows["user_index"]] == rows["user_id"].to_list()


def test_several_held_out_rows_a_user(make_dataset, scripted):
    generator = np.random.default_rng(5)
    sequences = [generator.choice(60, 30, replace=False).tolist() for _ in range(20)]
    split = ratio_split(make_dataset(sequences, 60))
    assert len(split.test) == 60
    scores = oracle_scores(split, "test")
    direct = evaluate_direct(scripted(scores), split, ks=(1, 3), num_negatives=20)
    full = evaluate_sequential(scripted(scores), split, ks=(2,), metrics=("PlainRecall", "Recall"))
    assert direct.num_users == full.num_users == 20
    assert direct.metrics["HitRate@1"].mean == 1, "other held-out items are no negatives"
    assert full.metrics["PlainRecall@2"].mean == pytest.approx(2 / 3)
    assert full.metrics["Recall@2"].mean == 1


def test_a_ratio_split_agrees_with_ir_measures(make_dataset, scripted):
    """Recall@20, Recall@40 and NDCG@100 out of the items that neither train nor validate."""
    generator = np.random.default_rng(8)
    sizes = generator.integers(3, 90, 50)
    sequences = [generator.choice(130, size, replace=False).tolist() for size in sizes]
    split = ratio_split(make_dataset(sequences, 130), seed=2)
    scores = generator.random((50, 130))
    scores[split.test.user_index, split.test.item_index] += 0.3
    ks, names = (20, 40, 100), ("Recall", "NDCG", "HitRate", "MRR")
    report = evaluate_sequential(scripted(scores), split, ks=ks, metrics=names)
    known, positives = split.known_before("test"), {}
    run, qrels = [], []
    for user, item in zip(split.test.user_index, split.test.item_index, strict=True):
        positives[str(user)] = positives.get(str(user), 0) + 1
        qrels.append(ir_measures.Qrel(str(user), str(item), 1))
    for user in range(50):
        left = np.setdiff1d(np.arange(130), known[user])
        run += [ir_measures.ScoredDoc(str(user), str(i), float(scores[user, i])) for i in left]
    assert min(positives.values()) == 1 and max(positives.values()) > 5
    theirs = {"Recall": "R", "NDCG": "nDCG", "HitRate": "Success", "MRR": "RR"}
    ours = {f"{theirs[name]}@{k}": (name, k) for name in names for k in ks}
    rows = {str(row["user_index"]): row for row in report.per_user.to_dicts()}
    measures = [ir_measures.parse_measure(each) for each in ours]
    compared = 0
    for value in ir_measures.iter_calc(measures, qrels, run):
        name, k = ours[str(value.measure)]
        wanted = positives[value.query_id]
        factor = wanted / min(k, wanted) if name == "Recall" else 1
        expected = pytest.approx(factor * value.value, abs=1e-9)
        assert rows[value.query_id][f"{name}@{k}"] == expected
        compared += 1
    assert compared == len(rows) * len(ours) == 50 * 12


def test_the_conditions_say_what_is_left_out(make_dataset, scripted):
    split = ratio_split(make_dataset([list(range(20)), list(range(10, 30))], 40))
    model = scripted(np.random.default_rng(0).random((2, 40)))
    masked = {
        part: evaluate_sequential(model, split, part).settings["masked"]
        for part in ("valid", "test")
    }
    assert masked == {"valid": "train items", "test": "train and validation items"}
    told_valid, told_test = model.asked
    assert (told_valid.lengths.tolist(), told_test.lengths.tolist()) == ([16, 16], [18, 18])


def test_recall_joins_where_users_have_several_held_out_rows(make_dataset):
    dataset = make_dataset([list(range(20)), list(range(10, 30))], 40)
    assert usual_metrics(leave_one_out(dataset)) == ("HitRate", "NDCG", "MRR")
    assert usual_metrics(ratio_split(dataset)) == ("Recall", "HitRate", "NDCG", "MRR")


@pytest.mark.parametrize("evaluate", [evaluate_direct, evaluate_sequential])
def test_a_sample_is_part_of_the_whole(evaluate, small_split, scripted):
    model = scripted(np.random.default_rng(0).random((40, 30)))
    whole = evaluate(model, small_split)
    some = evaluate(model, small_split, max_users=6, seed=0)
    expected = whole.per_user.join(some.per_user, on="user_index", how="semi")
    assert some.num_users == 6
    assert some.per_user.equals(expected)
    assert some.settings["max_users"] == 6
    given = evaluate(model, small_split, users=some.per_user["user_index"].to_numpy())
    assert given.per_user.equals(expected)


def test_catalogue_metrics_of_full_ranking(small_split):
    report = evaluate_sequential(Popularity().fit(small_split), small_split, ks=(5,))
    assert report.metrics["Coverage@5"].mean < 0.5
    assert report.metrics["PopularShare@5"].mean > 0.7
    everyone = evaluate_sequential(Popularity().fit(small_split), small_split, ks=(26,))
    assert everyone.metrics["HitRate@26"].mean == 1, "26 unseen items are the whole rest"
    assert everyone.metrics["Coverage@26"].mean == 1


def test_an_item_had_before_cannot_be_found_and_is_reported(make_dataset, scripted):
    split = leave_one_out(make_dataset([[0, 1, 2, 0], [1, 2, 3, 4]], 6))
    report = evaluate_sequential(scripted(oracle_scores(split, "test")), split, ks=(1,))
    assert report.per_user["HitRate@1"].to_list() == [0, 1]
    assert report.settings["already_seen"] == 1


def test_dishonest_lists_are_refused(small_split, scripted):
    class SeesNoHistory(scripted):
        def recommend(self, users, k=10, *, histories=None):
            best = np.argsort(-self.scores[users], axis=1)[:, :k]
            falling = -np.arange(k, dtype=float)
            return Recommendations.from_lists(users, list(best), [falling] * len(users))

    scores = np.zeros((40, 30))
    train = small_split.train
    scores[train.user_index, train.item_index] = 1
    with pytest.raises(EdgewiseError, match="a seen item"):
        evaluate_sequential(SeesNoHistory(scores), small_split)


@pytest.mark.parametrize("evaluate", [evaluate_direct, evaluate_sequential])
def test_options_are_checked_before_the_model_works(evaluate, small_split):
    with pytest.raises(ConfigError, match="list length"):
        evaluate(None, small_split, ks=())
    with pytest.raises(ConfigError, match="unknown metric 'NDGC'"):
        evaluate(None, small_split, metrics=("NDGC",))
    with pytest.raises(ConfigError, match="part='train'"):
        evaluate(None, small_split, "train")


def test_explanations_are_asked_and_compared_pair_by_pair():
    words = {(0, 5): "warm strings", (1, 6): "solid stand", (2, 7): "bright tone"}

    class Remembers:
        def explain(self, pairs):
            return [words[pair] if pair != (1, 6) else "" for pair in pairs]

    users, items = (np.array(column, dtype=np.int32) for column in zip(*words, strict=True))
    pairs = ExplanationPairs(users, items, list(words.values()))
    report = evaluate_explanations(Remembers(), pairs, conditions={"part": "test"})
    assert report.per_pair["ROUGE-1"].to_list() == [100, 0, 100]
    assert report.metrics["ROUGE-1"].mean == pytest.approx(200 / 3)
    assert report.settings["part"] == "test"
    some = evaluate_explanations(Remembers(), pairs, max_pairs=2, seed=1)
    assert some.num_pairs == 2
    assert some.per_pair.equals(report.per_pair.join(some.per_pair, on="user_index", how="semi"))


@pytest.mark.parametrize(("name", "hr", "ndcg"), [("beauty", 0.307, 0.161), ("toys", 0.265, 0.140)])
def test_popularity_on_real_data(name, hr, ndcg, real_data, make_dataset):
    path = real_data / name / "sequential.txt"
    if not path.is_file():
        pytest.skip(f"no {path}")
    sequences = [[int(i) - 1 for i in line.split()[1:]] for line in path.open()]
    split = leave_one_out(make_dataset(sequences, max(map(max, sequences)) + 1))
    report = evaluate_direct(Popularity().fit(split), split)
    assert report.metrics["HitRate@10"].mean == pytest.approx(hr, abs=0.01)
    assert report.metrics["NDCG@10"].mean == pytest.approx(ndcg, abs=0.01)


def test_seen_items_may_be_allowed_and_keep_their_place(make_dataset, scripted):
    split = leave_one_out(make_dataset([[0, 1, 2, 0], [1, 2, 3, 4]], 6))

    class Raw(scripted):
        def recommend(self, users, k=10, *, histories=None):
            lists = {0: [0, 3], 1: [1, 4]}
            return Recommendations.from_lists(
                users,
                [np.array(lists[user]) for user in users],
                [np.array([2.0, 1.0])] * len(users),
            )

    report = evaluate_sequential(Raw(np.zeros((2, 6))), split, ks=(1, 2), allow_seen=True)
    assert report.per_user["HitRate@1"].to_list() == [1, 0], "user 1's seen item 1 takes a place"
    assert report.per_user["HitRate@2"].to_list() == [1, 1]
    assert report.settings["allow_seen"] is True
    honest = evaluate_sequential(Popularity().fit(split), split, ks=(1, 2))
    assert honest.settings["allow_seen"] is False
