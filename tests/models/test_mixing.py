"""The mixture of a language model and priors: sums, weights, what is kept, and why."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.models import mixing, prior_features
from edgewise.models.item_priors import PRIORS, ItemPrior, PriorsConfig
from edgewise.models.mixing import LANGUAGE_MODEL, PriorMixture, mixing_users, told_before
from edgewise.models.prior_features import PriorFeatures, entropies

USERS = np.arange(9)


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_one_out(make_demo_shop(seed=1, num_users=60, num_items=48))


def language_model(users: np.ndarray, histories: Ragged) -> torch.Tensor:
    """Log-likelihoods of 48 items that depend on the length and the end of a history."""
    scores = [
        np.random.default_rng([len(row), int(row[-1])]).normal(size=48) for row in histories.rows()
    ]
    return torch.tensor(np.array(scores), dtype=torch.float32).log_softmax(1)


def mixture_of(split: Split, **settings) -> tuple[PriorMixture, PriorsConfig]:
    config = PriorsConfig(**({"names": PRIORS} | settings))
    found = PriorMixture.of(split, split.known_before("valid"), config, seed=0)
    assert found is not None
    found.fit(split, config, 0, language_model)
    return found, config


@pytest.fixture(scope="module")
def mixture(split) -> PriorMixture:
    return mixture_of(split)[0]


def asked(split: Split) -> tuple[Ragged, torch.Tensor]:
    histories = split.known_before("valid").take(USERS)
    return histories, language_model(USERS, histories)


@pytest.mark.parametrize("at_once", [1024, 7])
def test_scores_are_weights_times_features(split, mixture, monkeypatch, at_once):
    monkeypatch.setattr(prior_features, "_ITEMS_AT_ONCE", at_once)
    histories, likelihood = asked(split)
    weights = torch.randn(len(USERS), 1 + len(PRIORS), generator=torch.Generator().manual_seed(0))
    total = likelihood.clone()
    PriorFeatures(mixture.priors, mixture.sizes).mix(total, weights, histories)
    wanted = weights[:, :1] * likelihood + sum(
        weights[:, n, None] * feature for n, feature in enumerate(mixture.features(histories), 1)
    )
    torch.testing.assert_close(total, wanted, rtol=1e-4, atol=1e-5)


def test_entropies_are_of_the_softmax_whatever_is_added(split):
    _, likelihood = asked(split)
    expected = -(likelihood.exp() * likelihood).sum(1)
    never = torch.full((len(USERS), 1), -torch.inf)
    for scores in (likelihood, likelihood + 30, torch.cat([likelihood, never], 1)):
        torch.testing.assert_close(entropies(scores), expected, rtol=1e-4, atol=1e-5)


def test_features_are_logs_of_scores_in_usual_sizes(split, mixture):
    histories, _ = asked(split)
    for prior, size, found in zip(
        mixture.priors, mixture.sizes, mixture.features(histories), strict=True
    ):
        scores = prior.scores(histories)
        scores = scores.toarray() if hasattr(scores, "toarray") else scores
        np.testing.assert_allclose(
            found.numpy(), np.broadcast_to(np.log1p(scores / size), found.shape), rtol=1e-4
        )
        assert size > 0


def test_a_mixture_of_the_language_model_alone_is_the_language_model(split, mixture):
    histories, likelihood = asked(split)
    weights = np.zeros_like(mixture.mixture.weights)
    weights[0, 0] = 1
    fitted = mixing.Mixture(weights, weights, 0.0, 0)
    alone = PriorMixture(mixture.priors, mixture.sizes, mixture.item_counts, 4, fitted)
    torch.testing.assert_close(alone.mixed(likelihood, histories), likelihood, atol=1e-5, rtol=0)


def test_mixed_scores_are_probabilities_of_one_user_as_of_many(split, mixture):
    histories, likelihood = asked(split)
    whole = mixture.mixed(likelihood, histories)
    torch.testing.assert_close(whole.exp().sum(1), torch.ones(len(USERS)))
    for row in (0, 5):
        part = mixture.mixed(likelihood[[row]], histories.take(np.array([row])))
        torch.testing.assert_close(part[0], whole[row], rtol=1e-4, atol=1e-5)


# The fit.


def mean_loss(split: Split, users: np.ndarray, score) -> float:
    """Mean ``-log p`` of validation items among what each user has not, by loops."""
    known, losses = split.known_before("valid"), []
    for user in users:
        history = known.take(np.array([user]))
        scores = score(language_model(np.array([user]), history), history)[0].double()
        (target,) = split.valid.item_index[split.valid.user_index == user]
        own = torch.tensor([item for item in set(history[0].tolist()) if item != target])
        scores[own] = -torch.inf
        losses.append(-float(scores.log_softmax(0)[target]))
    return float(np.mean(losses))


@pytest.mark.parametrize("gate", [True, False])
def test_rows_are_likelier_than_under_the_language_model_alone(split, gate):
    found, _ = mixture_of(split, gate=gate)
    loss = mean_loss(split, found.users, found.mixed)
    assert found.mixture.loss == pytest.approx(loss, abs=1e-4)
    alone = mean_loss(split, found.users, lambda likelihood, history: likelihood)
    assert loss < alone - 0.1
    assert found.mixture.weights.shape == (len(PRIORS) + 1, 4 if gate else 1)


def test_at_most_half_of_the_validation_users_fit_the_weights(split, mixture):
    assert len(mixture.users) == 30 and mixture.mixture.num_observations == 30
    assert set(mixture.users) <= set(split.valid.user_index)
    few, _ = mixture_of(split, users=7)
    assert len(few.users) == 7 and (np.diff(few.users) > 0).all()
    assert set(few.users) <= set(mixture.users), "more users are added to fewer"
    other = mixing_users(split, split.known_before("valid"), 30, seed=1)
    assert set(other) != set(mixture.users)


def test_test_rows_and_other_validation_rows_do_not_move_the_weights(split, mixture):
    others = ~np.isin(split.valid.user_index, mixture.users)
    items = np.where(others, 47 - split.valid.item_index, split.valid.item_index)
    test = replace(split.test, item_index=47 - split.test.item_index)
    changed = replace(split, valid=replace(split.valid, item_index=items), test=test)
    assert np.array_equal(mixture_of(changed)[0].mixture.weights, mixture.mixture.weights)


def test_of_a_large_catalogue_some_items_are_drawn(split, monkeypatch):
    most = 20
    monkeypatch.setattr(mixing, "_NUMBERS_AT_FIT", mixing._LEAST_USERS * (len(PRIORS) + 1) * most)
    found, config = PriorMixture.of(
        split, split.known_before("valid"), PriorsConfig(names=PRIORS), 0
    ), PriorsConfig(names=PRIORS)  # fmt: skip
    histories, likelihood = asked(split)
    targets = split.valid.item_index[np.searchsorted(split.valid.user_index, USERS)].astype(int)
    seen = found.observed(USERS, targets, histories, language_model, seed=0)
    assert seen.features.shape == (len(USERS), len(PRIORS) + 1, 1 + most)
    torch.testing.assert_close(seen.features[:, 0, 0], likelihood[USERS, targets])
    drawn = np.sort(np.random.default_rng(0).permutation(48)[:most])
    hidden = [[item in row or item == target for item in drawn]
              for row, target in zip(histories.rows(), targets, strict=True)]  # fmt: skip
    assert seen.hidden[:, 1:].tolist() == hidden and not seen.hidden[:, 0].any()
    found.fit(split, config, 0, language_model)
    assert np.isfinite(found.mixture.weights).all() and found.mixture.num_observations == 30


def test_gates_are_about_between_minus_one_and_one(split, mixture):
    histories = Ragged.of_rows([np.arange(8), np.arange(1)])
    counts = mixture.item_counts
    likelihood = torch.stack([torch.full((48,), -np.log(48)), torch.eye(48)[0].log()])
    gate = mixture.gate(histories, likelihood).numpy()
    assert gate[:, 0].tolist() == [1, 1]
    assert gate[:, 1] == pytest.approx([0, -1])  # of eight items, and of one
    newest = [counts[7], counts[0]]
    assert gate[:, 2] == pytest.approx([np.log2(1 + count) / 4 - 1 for count in newest])
    assert gate[:, 3] == pytest.approx([1, -1], abs=1e-5)  # knows nothing, and all


# Items that the language model never saw.


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 0, 1, 0], [-1.0, -4.0, -2.0, -4.0]),  # items 1 and 3: the mean of -3 and -5
        ([3, 1, 1, 0], [-1.0, -3.0, -2.0, -5.0]),  # one alone is its own mean
        ([0, 0, 0, 0], [-2.75] * 4),
    ],
)
def test_items_without_train_rows_are_alike(counts, expected):
    likelihood = torch.tensor([[-1.0, -3.0, -2.0, -5.0], [-1.0, -3.0, -2.0, -5.0]])
    before = likelihood.clone()
    found = PriorMixture((), np.empty(0, np.float32), np.array(counts)).neutral(likelihood)
    assert found.tolist() == [pytest.approx(expected)] * 2
    assert torch.equal(likelihood, before)


# What is kept.


def test_what_is_saved_comes_back(split, mixture, tmp_path):
    histories, likelihood = asked(split)
    told = mixture.save(tmp_path)
    again = PriorMixture.load(tmp_path, told, split.known_before("valid"))
    assert torch.equal(again.mixed(likelihood, histories), mixture.mixed(likelihood, histories))
    assert again.names == mixture.names and again.learned_rows() == mixture.learned_rows()
    assert np.array_equal(again.users, mixture.users)
    assert again.mixture.loss == mixture.mixture.loss


def test_priors_count_anew_what_is_told_where_that_is_set(split):
    still, config = mixture_of(split)
    before = still.priors
    still.prepare(split.known_before("test"), config, 0)
    assert still.priors is before
    anew, config = mixture_of(split, relearn=True)
    weights = anew.mixture.weights.copy()
    anew.prepare(split.known_before("test"), config, 0)
    counts = np.bincount(split.known_before("test").values, minlength=48)
    assert anew.item_counts.tolist() == counts.tolist()
    popular = anew.priors[PRIORS.index("popularity")]
    assert popular.left[0].tolist() == counts.tolist()
    assert np.array_equal(anew.mixture.weights, weights)
    texts = PRIORS.index("texts")
    assert np.array_equal(anew.priors[texts].left.data, still.priors[texts].left.data)


def test_the_plan_names_what_is_mixed_and_what_is_lacking(mixture):
    assert told_before(None, ()) == ()
    assert told_before(None, ("texts",)) == (("priors", "none; not told by the data: texts"),)
    ((name, words),) = told_before(mixture, ())
    assert name == "priors" and words == ", ".join(PRIORS)


# Why.


@pytest.mark.parametrize("user", [0, 7])
def test_evidence_adds_up_to_differences_of_scores(split, mixture, user):
    histories, likelihood = asked(split)
    mixed = mixture.mixed(likelihood, histories)[user]
    items = np.array([3, 17, 40])
    found = mixture.why(histories[user], items, likelihood[[user]])
    sums = [sum(share.evidence for share in shares) for shares in found]
    for (one, first), (two, second) in pairwise(zip(items, sums, strict=True)):
        assert first - second == pytest.approx(float(mixed[one] - mixed[two]), abs=1e-3)
    for shares in found:
        assert {share.name for share in shares} == {LANGUAGE_MODEL, *PRIORS}
        assert sum(abs(share.share) for share in shares) == pytest.approx(1)
        sizes = [abs(share.share) for share in shares]
        assert sizes == sorted(sizes, reverse=True)
        assert all(share.share * share.evidence >= 0 for share in shares)


def test_items_that_speak_are_of_the_history_each_once(split, mixture):
    history = np.array([5, 9, 5, 12])
    likelihood = language_model(np.array([0]), Ragged.of_rows([history]))
    for shares in mixture.why(history, np.arange(48), likelihood):
        for share in shares:
            items = [item for item, _ in share.items]
            parts = [part for _, part in share.items]
            assert set(items) <= {5, 9, 12} and len(items) == len(set(items))
            assert parts == sorted(parts, reverse=True) and sum(parts) <= 1 + 1e-6
            if share.name == "markov":
                assert items in ([], [12])
            if share.name in (LANGUAGE_MODEL, "popularity", "trend"):
                assert items == []


def test_words_say_which_way_a_part_lies(split):
    popular = ItemPrior("popularity", np.array([[8.0, 1.0, 0.0]], np.float32))
    weights = np.array([[1.0], [-0.5]])
    fitted = mixing.Mixture(weights, weights, 0.0, 1)
    mixture = PriorMixture((popular,), np.ones(1, np.float32), np.array([8, 1, 0]), 1, fitted)
    likelihood = torch.full((1, 3), -np.log(3))
    often, seldom = (
        shares[0] for shares in mixture.why(np.array([1]), np.array([0, 2]), likelihood)
    )
    # log(1 + 8), log(1 + 1), log(1 + 0) have the mean log(18) / 3; the weight is -0.5.
    assert often.evidence == pytest.approx(-0.5 * (np.log(9) - np.log(18) / 3), rel=1e-5)
    assert (often.share, often.reason) == (-1, "it is taken often")
    assert seldom.evidence == pytest.approx(0.5 * np.log(18) / 3, rel=1e-5)
    assert (seldom.share, seldom.reason) == (1, "it is taken seldom")


def test_weights_are_told_in_steps_that_people_know(mixture):
    head, *rows = mixture.learned_rows()
    assert head[0] == "weight" and "8 items of history" in head[1]
    assert [name for name, _ in rows] == [LANGUAGE_MODEL, *PRIORS]
    weights, errors = mixture.mixture.weights[1], mixture.mixture.errors[1]
    assert rows[1][1].startswith(f"{weights[0]:.2f} ± {errors[0]:.2f}, history x2 ")
    steps = [float(part.split()[-1]) for part in rows[1][1].split(", ")[1:]]
    assert steps == pytest.approx(weights[1:] * [1 / 3, 1 / 4, 2], abs=0.006)


def test_without_gates_a_row_is_a_weight(split):
    rows = mixture_of(split, gate=False, names=("markov",))[0].learned_rows()
    assert [len(words.split(",")) for _, words in rows] == [1, 1, 1]
