"""What models are told, who is measured, which lists are refused, and known answers."""

from __future__ import annotations

from dataclasses import replace

import ir_measures
import numpy as np
import pytest

from edgewise.data.dataset import Vocabulary
from edgewise.data.item_lists import Recommendations
from edgewise.data.ragged import Ragged
from edgewise.data.splits import leave_one_out, ratio_split
from edgewise.data.texts import ExplanationPairs
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.evaluation.contract import check_lists
from edgewise.evaluation.evaluate import (
    choose_users,
    evaluate,
    evaluate_direct,
    evaluate_explanations,
    evaluate_sequential,
    held_out_rows,
    sample,
    usual_metrics,
)
from edgewise.evaluation.list_metrics import LIST_METRICS
from edgewise.evaluation.metrics import METRICS, found_within
from edgewise.evaluation.protocols import find_protocol, split_under
from edgewise.models.popularity import Popularity


def oracle_scores(split, part: str) -> np.ndarray:
    """The held-out item first, all others equal."""
    scores = np.zeros((split.dataset.num_users, split.dataset.num_items))
    held_out = split.held_out(part)
    scores[held_out.user_index, held_out.item_index] = 1
    return scores


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_who_knows_the_answer_scores_1_and_who_denies_it_0(measure, part, small_split, scripted):
    knows = measure(scripted(oracle_scores(small_split, part)), small_split, part)
    denies = measure(scripted(-oracle_scores(small_split, part)), small_split, part)
    for name in ("HitRate@5", "NDCG@10", "MRR@5"):
        assert (knows.metrics[name].mean, denies.metrics[name].mean) == (1, 0)
    assert knows.num_users == len(knows.per_user) == 40


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
@pytest.mark.parametrize("kind", ["users", "items"])
def test_a_model_of_another_data_set_of_equal_sizes_is_refused(measure, kind, small_split):
    model = Popularity().fit(small_split)
    measure(model, small_split)
    ids = getattr(small_split.dataset, kind)
    other = replace(small_split.dataset, **{kind: Vocabulary(ids.ids[::-1], ids.kind)})
    with pytest.raises(DataError, match=f"the ids of its {kind} are not those of the data set"):
        measure(model, replace(small_split, dataset=other))


def test_a_constant_model_gains_nothing(small_split, scripted):
    report = evaluate_direct(scripted(np.zeros((40, 30))), small_split, ks=(24,), num_negatives=24)
    assert report.metrics["HitRate@24"].mean == 0


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
@pytest.mark.parametrize(("part", "length"), [("valid", 3), ("test", 4)])
def test_models_are_told_earlier_parts_only(measure, part, length, small_split, scripted):
    model = scripted(np.random.default_rng(0).random((40, 30)))
    measure(model, small_split, part)
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
    for measure in (evaluate_direct, evaluate_sequential):
        rows = measure(scripted(scores), small_split, ks=(5,)).per_user
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


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
def test_a_sample_is_part_of_the_whole(measure, small_split, scripted):
    model = scripted(np.random.default_rng(0).random((40, 30)))
    whole = measure(model, small_split)
    some = measure(model, small_split, max_users=6, seed=0)
    expected = whole.per_user.join(some.per_user, on="user_index", how="semi")
    assert some.num_users == 6
    assert some.per_user.equals(expected)
    assert some.settings["max_users"] == 6
    given = measure(model, small_split, users=some.per_user["user_index"].to_numpy())
    assert given.per_user.equals(expected)


def test_catalogue_metrics_of_full_ranking(small_split):
    report = evaluate_sequential(Popularity().fit(small_split), small_split, ks=(5,))
    assert report.metrics["Coverage@5"].mean < 0.5
    assert report.metrics["PopularShare@5"].mean > 0.7
    everyone = evaluate_sequential(Popularity().fit(small_split), small_split, ks=(26,))
    assert everyone.metrics["HitRate@26"].mean == 1, "26 unseen items are the whole rest"
    assert everyone.metrics["Coverage@26"].mean == 1


def test_metrics_of_lists_are_measured_where_there_are_lists(small_split):
    model = Popularity().fit(small_split)
    whole = evaluate_sequential(model, small_split, ks=(5,), metrics=("Gini", "NDCG", "Novelty"))
    names = {"NDCG@5", "Novelty@5", "PopularShare@5", "Coverage@5", "Gini@5"}
    assert set(whole.metrics) == names
    assert {"NDCG@5", "Novelty@5"} <= set(whole.per_user.columns)
    alone = evaluate_sequential(model, small_split, ks=(5,), metrics=("Novelty",))
    assert alone.per_user["Novelty@5"].equals(whole.per_user["Novelty@5"])
    direct = evaluate_direct(model, small_split, ks=(5,), metrics=("Gini", "NDCG"))
    assert set(direct.metrics) == {"NDCG@5"}
    with pytest.raises(ConfigError, match=r"Gini, Novelty: .*measure the sequential task"):
        evaluate_direct(model, small_split, metrics=("Gini", "Novelty"))
    assert set(evaluate(model, small_split, metrics=("gini",))) == {"sequential"}
    assert set(evaluate(model, small_split, metrics=("gini", "mrr"))) == {"direct", "sequential"}


def test_an_item_had_before_cannot_be_found_and_is_reported(make_dataset, scripted):
    split = leave_one_out(make_dataset([[0, 1, 2, 0], [1, 2, 3, 4]], 6))
    report = evaluate_sequential(scripted(oracle_scores(split, "test")), split, ks=(1,))
    assert report.per_user["HitRate@1"].to_list() == [0, 1]
    assert report.settings["already_seen"] == 1


def test_dishonest_lists_are_refused(small_split, scripted):
    class SeesNoHistory(scripted):
        def recommend(self, users, k=10, *, histories=None, exclude_seen=True):
            best = np.argsort(-self.scores[users], axis=1)[:, :k]
            falling = -np.arange(k, dtype=float)
            return Recommendations.from_lists(users, list(best), [falling] * len(users))

    scores = np.zeros((40, 30))
    train = small_split.train
    scores[train.user_index, train.item_index] = 1
    with pytest.raises(EdgewiseError, match="a seen item"):
        evaluate_sequential(SeesNoHistory(scores), small_split)


@pytest.mark.parametrize("measure", [evaluate_direct, evaluate_sequential])
def test_options_are_checked_before_the_model_works(measure, small_split):
    with pytest.raises(ConfigError, match="list length"):
        measure(None, small_split, ks=())
    with pytest.raises(ConfigError, match="unknown metric 'NDGC'"):
        measure(None, small_split, metrics=("NDGC",))
    with pytest.raises(ConfigError, match="part='train'"):
        measure(None, small_split, "train")


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
        def recommend(self, users, k=10, *, histories=None, exclude_seen=True):
            assert not exclude_seen
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


def test_a_sample_follows_its_seed(small_split):
    choose = lambda seed: choose_users(small_split.test, None, 7, seed).tolist()  # noqa: E731
    assert choose(0) == choose(0) == sorted(set(choose(0)))
    assert len(choose(0)) == 7
    assert choose(0) != choose(1)


def test_given_users_come_sorted_and_once(small_split):
    chosen = choose_users(small_split.test, np.array([9, 3, 9]), None, 0)
    assert chosen.tolist() == [3, 9]


def test_all_users_where_no_limit_binds(small_split):
    assert choose_users(small_split.test, None, None, 0).tolist() == list(range(40))
    assert choose_users(small_split.test, None, 1000, 0).tolist() == list(range(40))


def test_nobody_to_measure_is_refused(small_split, make_dataset):
    with pytest.raises(EdgewiseError, match="no held-out rows, first user_index 77"):
        choose_users(small_split.test, np.array([1, 77]), None, 0)
    with pytest.raises(ConfigError, match="max_users=0"):
        choose_users(small_split.test, None, 0, 0)
    with pytest.raises(ConfigError, match="max_pairs=-1"):
        sample(np.arange(4), -1, 0, "max_pairs")
    with pytest.raises(ConfigError, match="part='tests'"):
        held_out_rows(small_split, "tests")
    with pytest.raises(EdgewiseError, match="no test rows under the leave-one-out split"):
        held_out_rows(leave_one_out(make_dataset([[0, 1], [1]], 2)), "test")


NUM_ITEMS = 10
KNOWN = Ragged(np.array([0, 2, 2, 3]), np.array([8, 9, 7], dtype=np.int32))


def check_rows(items: dict[int, list[int]], **columns) -> None:
    users = np.array(list(items))
    rows = [np.array(row) for row in items.values()]
    scores = [-np.arange(len(row), dtype=float) for row in rows]
    lists = Recommendations.from_lists(users, rows, scores)
    lists = Recommendations(**{**vars(lists), **{k: np.array(v) for k, v in columns.items()}})
    check_lists(lists, np.array([0, 2]), KNOWN, NUM_ITEMS, 3)


def test_honest_lists_pass():
    check_rows({0: [1, 2, 7], 2: [8, 1]})
    check_rows({2: [0], 0: [0]}, score=[1.0, 5.0])
    check_rows({0: [1, 2]}, score=[3.0, 3.0])
    check_rows({0: [], 2: []})


@pytest.mark.parametrize(
    ("items", "columns", "reason"),
    [
        ({0: [1, 9]}, {}, "a seen item: user_index 0, item_index 9"),
        ({2: [7]}, {}, "a seen item: user_index 2, item_index 7"),
        ({0: [1, 2, 1]}, {}, "a repeated item: user_index 0, item_index 1"),
        ({0: [1, 10]}, {}, "an item outside the catalogue"),
        ({0: [-1]}, {}, "an item outside the catalogue"),
        ({1: [1]}, {}, "a user who was not asked for: user_index 1"),
        ({0: [1, 2, 3, 4]}, {}, "more than k=3 items"),
        ({0: [1, 2]}, {"score": [1.0, 2.0]}, "not descending"),
        ({0: [1, 2]}, {"score": [1.0, np.nan]}, "not descending"),
        ({0: [1]}, {"score": [np.nan]}, "not descending"),
        ({0: [1, 2]}, {"rank": [1, 1]}, "ranks that are not"),
        ({0: [1], 2: [2]}, {"rank": [1, 2]}, "ranks that are not"),
        ({0: [1], 2: [2, 3]}, {"user_index": [0, 2, 0], "rank": [1, 1, 1]}, "two lists"),
    ],
)
def test_lists_that_break_the_contract_are_refused(items, columns, reason):
    with pytest.raises(EdgewiseError, match=reason):
        check_rows(items, **columns)


def test_seen_items_pass_where_they_are_allowed():
    lists = Recommendations.from_lists(np.array([0]), [np.array([9, 1])], [np.array([1.0, 0.5])])
    check_lists(lists, np.array([0]), KNOWN, NUM_ITEMS, 3, allow_seen=True)
    with pytest.raises(EdgewiseError, match="a seen item"):
        check_lists(lists, np.array([0]), KNOWN, NUM_ITEMS, 3)


def test_the_protocol_decides_how_lists_count(make_dataset, scripted):
    dataset = make_dataset([[0, 1, 2, 3]] * 10, 6)
    dataset.source["item_numbers"] = "source"
    released = find_protocol("elmrec-released")

    class Repeats(scripted):
        def recommend(self, users, k=10, *, histories=None, exclude_seen=True):
            rows = [np.array([3, 5, 3])] * len(users)
            return Recommendations.from_lists(users, rows, [np.array([3.0, 2.0, 1.0])] * len(users))

    model = Repeats(np.zeros((10, 6)))
    leaking = split_under(released, dataset)
    report = evaluate_sequential(model, leaking, ks=(1, 5), protocol=released)
    assert set(report.per_user["HitRate@1"]) == {1}
    assert min(report.per_user["HitRate@5"]) >= 2, "two entries, and what padding hits"
    assert max(report.per_user["HitRate@5"]) > 2, "padding hits, too"
    assert report.settings["padding_seed"] == 0
    honest = leave_one_out(dataset)
    with pytest.raises(Exception, match="a repeated item"):
        evaluate_sequential(model, honest, ks=(1, 5))


class TestEvaluate:
    def test_each_ranking_task_of_the_model_is_measured(self, small_split, scripted):
        model = scripted(np.random.default_rng(0).random((40, 30)))
        options = {"ks": (5,), "metrics": ("NDCG",), "max_users": 7}
        both = evaluate(model, small_split, part="valid", **options)
        assert list(both) == ["direct", "sequential"]
        for task, function in (("direct", evaluate_direct), ("sequential", evaluate_sequential)):
            expected = function(model, small_split, "valid", **options)
            assert both[task].per_user.equals(expected.per_user)
            assert both[task].settings == expected.settings and both[task].metrics
        model.tasks = ("explanation", "sequential")
        assert list(evaluate(model, small_split)) == ["sequential"]
        assert list(evaluate(model, small_split, tasks=["direct"])) == ["direct"]

    def test_a_model_without_a_ranking_task_is_refused(self, small_split, scripted):
        model = scripted(np.zeros((40, 30)))
        model.tasks = ("explanation",)
        with pytest.raises(ConfigError, match=r"give some of direct.*evaluate_explanations"):
            evaluate(model, small_split)
        for tasks in ((), ("sequentail",), ("direct", "explanation")):
            with pytest.raises(ConfigError, match=r"tasks=.*give some of direct, sequential"):
                evaluate(model, small_split, tasks=tasks)

    def test_metrics_nobody_asks_for_are_those_of_the_split(self, make_dataset, scripted):
        split = ratio_split(make_dataset([list(range(20)), list(range(10, 30))], 40))
        reports = evaluate(scripted(np.random.default_rng(0).random((2, 40))), split)
        assert all("Recall@10" in report.metrics for report in reports.values())


def test_a_metric_of_ones_own(small_split, scripted, monkeypatch):
    monkeypatch.setitem(METRICS, "Misses", lambda hits, k: k - found_within(hits, k))
    monkeypatch.setitem(LIST_METRICS, "Rows", lambda lists: float(len(lists.item)))
    model = scripted(oracle_scores(small_split, "test"))
    reports = evaluate(model, small_split, ks=(4,), metrics=("Misses", "Rows"))
    for report in reports.values():
        assert report.metrics["Misses@4"].mean == 3
    assert reports["sequential"].metrics["Rows@4"].mean == 160


def test_functions_of_ones_own_are_metrics(small_split):
    def found_first(hits, k):
        return np.bincount(hits.query[hits.rank == 1], minlength=len(hits.user_index))

    def length(lists):
        return np.bincount(lists.user, minlength=lists.num_users)

    model = Popularity().fit(small_split)
    try:
        reports = evaluate(model, small_split, metrics=["HitRate", found_first, length], ks=[1, 5])
        for report in reports.values():
            assert report.metrics["found_first@5"].mean == report.metrics["HitRate@1"].mean
        assert reports["sequential"].metrics["length@5"].mean == 5
        assert list(evaluate(model, small_split, metrics=[length])) == ["sequential"]
    finally:
        METRICS.pop("found_first", None)
        LIST_METRICS.pop("length", None)


def test_a_function_of_other_arguments_or_a_taken_name_is_refused(small_split):
    def three(a, b, c):
        return a

    three_more = lambda hits, k: 0  # noqa: E731
    three_more.__name__ = "NDCG"
    model = Popularity().fit(small_split)
    with pytest.raises(ConfigError, match=r"metric three: 3 arguments; write it of \(hits, k\)"):
        evaluate(model, small_split, metrics=[three])
    with pytest.raises(ConfigError, match="metric NDCG: a metric of this name is there"):
        evaluate(model, small_split, metrics=[three_more])
    with pytest.raises(ConfigError, match="a metric of your own needs a name"):
        evaluate(model, small_split, metrics=[lambda hits, k: 0])
