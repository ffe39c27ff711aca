"""Item priors in both ranking tasks: fitted on train and validation rows, searched as scored."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.models.elmrec.conftest import small_elmrec

from edgewise.config import updated
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.item_texts import ItemTexts, TextConfig
from edgewise.models.conditional_logit import Mixture
from edgewise.models.elmrec.config import PRESETS
from edgewise.models.elmrec.priors import target_likelihoods
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.elmrec.rsl import RSL
from edgewise.models.item_priors import USUAL
from edgewise.models.item_start import item_start
from edgewise.models.list_mixing import fit_lists

USERS = np.arange(8)
PRIORS = (f"priors.names={','.join(USUAL)}", "training.epochs=1")
RANKING = "prompts.tasks=direct,sequential"
NO_HEADS = (
    "prompts.item_head=false",
    "prompts.candidate_head=false",
    "prompts.direct_likelihood=vocabulary",
)

ONE_TOKEN = ("prompts.ids=one-token",)
FORMS = ("heads", "no heads", "one token")


def rows_of(model: ELMRec) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [30, 1, 7, 48, 2, 12, 3, 9]
    return [rng.permutation(model.table.num_items)[:size] for size in sizes]


def lists_of(model: ELMRec) -> CandidateLists:
    return CandidateLists.from_lists(USERS, rows_of(model))


def answers(model: ELMRec) -> list[np.ndarray]:
    found = model.recommend(USERS, 6)
    tasks = ("direct", "sequential")
    scores = [model.score_candidates(lists_of(model), task=task) for task in tasks]
    return [found.item_index, found.score, *scores]


@pytest.fixture(scope="module", params=[(), NO_HEADS, ONE_TOKEN], ids=FORMS)
def mixed(shop_split, request) -> ELMRec:
    """Both ranking tasks with all usual priors; do not change it."""
    return small_elmrec(RANKING, *PRIORS, *request.param).fit(shop_split)


def with_weights(model: ELMRec, language: float, prior: float, spelling: float) -> ELMRec:
    """A copy with one weight for all priors, without gates; every item counts as taught.

    Of the direct task the item head counts as much as the priors.
    """
    model, priors = copy.copy(model), copy.copy(model.priors)
    priors.mixtures = dict(priors.mixtures)
    for task, each in model.priors.mixtures.items():
        weights = np.zeros((len(each.names), each.gates))
        weights[0, 0], weights[1:, 0] = language, prior
        priors.mixtures[task] = each.twin(each.spoken, Mixture(weights, weights, 0.0, 1))
        priors.mixtures[task].untaught = each.untaught[:0]
    priors.spelling, model.priors = spelling, priors
    return model


def head_likelihoods(model: ELMRec) -> np.ndarray:
    """Log-likelihoods of all items by the item head, or alike, ``float64[B, I]``."""
    if model.network.item_head is None:
        return np.zeros((len(USERS), model.table.num_items))
    histories = model.data.histories.take(USERS)
    prompts = model._writer.sequential(USERS, histories.rows())
    (part,) = model.encoded("sequential", prompts)
    return part.head_scores.double().log_softmax(1).numpy()


def prior_evidence(model: ELMRec, users: np.ndarray) -> np.ndarray:
    """The sum of ``log(1 + S / e)`` of all priors, ``[B, I]``."""
    histories, total = model.data.histories.take(users), 0.0
    for prior, size in zip(model.priors.first.priors, model.priors.first.sizes, strict=True):
        scores = prior.scores(histories)
        scores = scores.toarray() if sp.issparse(scores) else scores
        total = total + np.log(1 + scores.astype(np.float64) / size)
    return total


def test_a_beam_as_wide_as_the_catalogue_finds_what_exact_scores_rank(mixed):
    model, num_items = copy.copy(mixed), mixed.table.num_items
    model.priors = replace(mixed.priors, spelling=1.0)
    model.config = updated(model.config, {"decoding": {"num_beams": num_items}})
    found = model.recommend(USERS, 10)
    scores = model.score_items(USERS, model.data.histories.take(USERS))
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-4)
    for user in USERS:
        own = scores[user].copy()
        own[model.data.histories[user]] = -np.inf
        rows = found.user_index == user
        assert found.score[rows] == pytest.approx(np.sort(own)[::-1][:10], abs=1e-4)
        assert found.score[rows] == pytest.approx(own[found.item_index[rows]], abs=1e-4)


def test_without_spelling_an_items_likelihood_is_the_mixture(mixed):
    model = with_weights(mixed, 0.7, 0.3, 0.0)
    histories = model.data.histories.take(USERS)
    total = 0.7 * head_likelihoods(model) + 0.3 * prior_evidence(model, USERS)
    expected = total - np.log(np.exp(total).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.score_items(USERS, histories), expected, atol=2e-4)


def test_candidates_of_the_direct_task_share_the_mixture(mixed):
    model = with_weights(mixed, 0.7, 0.3, 1.0)
    alone = copy.copy(model)
    alone.priors = None
    lists = lists_of(model)
    language = alone.score_candidates(lists, task="direct")
    scores = model.score_candidates(lists, task="direct")
    evidence = prior_evidence(model, USERS) + head_likelihoods(model)
    start = 0
    for user, items in zip(USERS, rows_of(model), strict=True):
        own = slice(start, start := start + len(items))
        total = 0.7 * language[own] + 0.3 * evidence[user, items]
        np.testing.assert_allclose(scores[own], total - np.logaddexp.reduce(total), atol=1e-4)


def test_candidates_that_nobody_took_are_told_apart_by_priors_alone(mixed):
    model = with_weights(mixed, 0.7, 0.0, 1.0)
    untaught = mixed.priors.first.untaught
    model.priors.mixtures["direct"].untaught = untaught
    assert len(untaught) >= 2
    items = np.array([untaught[0], 1, untaught[1], 5])
    lists = CandidateLists.from_lists(np.array([3]), [items])
    scores = model.score_candidates(lists, task="direct")
    assert scores[0] == scores[2] and len(set(scores[[0, 1, 3]])) == 3


def test_priors_that_count_nothing_leave_the_scores(shop_split):
    model = with_weights(small_elmrec(RANKING, *PRIORS).fit(shop_split), 1.0, 0.0, 1.0)
    alone = copy.copy(model)
    alone.priors = None
    for ours, theirs in zip(answers(model), answers(alone), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_list_is_scored_alike_whatever_is_asked_beside_it(mixed):
    together = mixed.score_candidates(lists_of(mixed), task="direct")
    alone = [
        mixed.score_candidates(CandidateLists.from_lists(np.array([user]), [row]), task="direct")
        for user, row in zip(USERS, rows_of(mixed), strict=True)
    ]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-4)


def test_a_loaded_model_answers_alike(mixed, tmp_path):
    mixed.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "priors.safetensors").is_file()
    loaded = ELMRec.from_pretrained(tmp_path / "model")
    assert loaded.priors.spelling == mixed.priors.spelling
    for ours, theirs in zip(answers(mixed), answers(loaded), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    new = [np.array([4, 9]), np.array([], dtype=np.int64)]
    ours, theirs = mixed.recommend_new(new, k=5), loaded.recommend_new(new, k=5)
    np.testing.assert_array_equal(ours.item_index, theirs.item_index)
    assert not set(ours.item_index[:5].tolist()) & {4, 9} and len(ours) == 10


def test_weights_are_fitted_on_train_and_validation_rows(shop_split):
    model = small_elmrec(RANKING, *PRIORS).fit(shop_split)
    test = shop_split.test
    other = replace(test, item_index=np.roll(test.item_index, 7))
    changed = small_elmrec(RANKING, *PRIORS).fit(replace(shop_split, test=other))
    for ours, theirs in zip(answers(model), answers(changed), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    users = model.priors.first.users
    own = np.isin(shop_split.valid.user_index, users)
    assert 0 < own.sum() <= (len(own) + 1) // 2
    item = np.where(own, np.roll(shop_split.valid.item_index, 5), shop_split.valid.item_index)
    moved = replace(shop_split, valid=replace(shop_split.valid, item_index=item))
    again = small_elmrec(RANKING, *PRIORS).fit(moved).priors.mixtures
    for task, mixture in model.priors.mixtures.items():
        assert not np.allclose(mixture.mixture.weights, again[task].mixture.weights), task


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_only_trained_tasks_have_a_mixture(shop_split, task):
    model = small_elmrec(f"prompts.tasks={task}", *PRIORS).fit(shop_split)
    assert list(model.priors.mixtures) == [task]
    rows = model.score_candidates(lists_of(model), task=task)
    assert np.isfinite(rows).all()


def test_each_task_has_weights_of_its_own(mixed):
    direct, sequential = (mixed.priors.mixtures[task] for task in ("direct", "sequential"))
    assert direct.priors is sequential.priors
    assert not np.allclose(direct.mixture.weights[-8:], sequential.mixture.weights)
    heads = ("item head",) if mixed.network.item_head is not None else ()
    assert direct.spoken == ("language model", *heads) and len(sequential.spoken) == 1
    assert direct.mixture.num_observations == sequential.mixture.num_observations > 0


def test_what_was_learned_is_told(mixed):
    names = [name for name, _ in mixed.learned_rows()]
    spelled = mixed.priors.spelling is not None
    assert spelled == (mixed.config.prompts.ids == "spelled")
    assert names[0] == "direct: weight" and (names[-1] == "sequential: spelling") == spelled
    heads = int(mixed.network.item_head is not None)
    assert len(set(names)) == len(names) == 2 * (len(USUAL) + 2) + spelled + heads
    np.testing.assert_array_equal(mixed.fitted_on_valid(), mixed.priors.first.users)
    rows = mixed.score_shares(3, np.array([5, 9]))
    assert [{part.name for part in row} for row in rows] == [{"language model", *USUAL}] * 2
    model = with_weights(mixed, 0.7, 0.3, 0.0)
    items = np.array([5, 9])
    lifts = [sum(part.evidence for part in row) for row in model.score_shares(3, items)]
    scores = model.score_items(np.array([3]), model.data.histories.take(np.array([3])))[0, items]
    assert lifts[0] - lifts[1] == pytest.approx(scores[0] - scores[1], abs=1e-3)
    alone = small_elmrec()
    assert alone.learned_rows() == () and len(alone.fitted_on_valid()) == 0


def test_spelling_is_the_likeliest_of_those_tried(mixed, shop_split):
    if mixed.priors.spelling is None:
        return  # one token an id: nothing is spelled
    mixture = mixed.priors.mixtures["sequential"]
    model, rows = copy.copy(mixed), mixture.rows(shop_split, mixed.config.priors, 0)
    ((users, targets, histories),) = rows
    found = dict(
        zip(
            (0.0, 0.25, 0.5, 1.0, 2.0),
            target_likelihoods(mixed, users, histories, targets).sum(1),
            strict=True,
        )
    )
    assert found[mixed.priors.spelling] == pytest.approx(max(found.values()), abs=1e-5)
    # Where only the target's own history is hidden, it can only become likelier.
    for share, total in found.items():
        model.priors = replace(mixed.priors, spelling=share)
        scores = model.score_items(users, histories)[np.arange(len(users)), targets]
        assert scores.sum() <= total + 1e-3


def test_lists_of_all_items_fit_as_the_catalogue_does(mixed, shop_split):
    config = updated(mixed.config.priors, {"gate": False})
    num_items = shop_split.dataset.num_items
    language = np.random.default_rng(1).normal(size=(shop_split.dataset.num_users, num_items))
    language = torch.from_numpy(language).float().log_softmax(1)
    bare = replace(mixed.priors.first, gates=1)
    whole, among = (bare.twin(("language model",)) for _ in range(2))
    whole.untaught = among.untaught = np.empty(0, np.int64)
    whole.fit(shop_split, config, 0, lambda users, _: language[users])

    def candidates(targets: np.ndarray, histories: Ragged) -> Ragged:
        everything = np.arange(num_items)
        rows = zip(histories.rows(), targets, strict=True)
        return Ragged.of_rows(
            [everything[~np.isin(everything, seen) | (everything == item)] for seen, item in rows]
        )

    def likelihoods(users: np.ndarray, _: Ragged, lists: Ragged) -> np.ndarray:
        return language.numpy()[users[lists.row_of_value], lists.values][None]

    fit_lists(among, shop_split, config, 0, candidates, likelihoods)
    np.testing.assert_allclose(among.mixture.weights, whole.mixture.weights, atol=1e-4)
    assert among.mixture.loss == pytest.approx(whole.mixture.loss, abs=1e-4)


def test_histories_told_later_are_counted_where_that_is_set(shop_split):
    newer = shop_split.known_before("test")
    lists = CandidateLists.from_lists(USERS, [np.arange(20)] * len(USERS))
    model = small_elmrec("prompts.tasks=direct", *PRIORS, "priors.relearn=true").fit(shop_split)
    before = model.priors.first.priors
    model.score_candidates(lists, histories=newer)
    after = model.priors.first.priors
    assert after[0].left.sum() > before[0].left.sum() and after[3] is before[3]
    assert after[3].name == "texts"


def test_a_plan_names_the_priors(shop_split):
    plans = []

    def told(plan):
        plans.append(plan)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_elmrec(*PRIORS).fit(shop_split, on_plan=told)
    assert plans[0].rows[-1] == ("priors", ", ".join(USUAL))


def test_rsl_mixes_them_too(shop_split):
    overrides = ("training.epochs=1", "prompts.num_negatives=5", "training.precision=fp32")
    model = RSL.from_preset("tiny", [*overrides, PRIORS[0]]).fit(shop_split)
    scores = model.score_items(USERS, model.data.histories.take(USERS))
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-4)


def test_presets_of_the_paper_have_none():
    with_priors = {name for name, values in PRESETS.items() if "priors" in values}
    assert with_priors == {"tiny", "cpu", "cpu-spelled"} and ELMRec().config.priors.names == ()


def test_items_start_from_transitions_and_texts(shop_split):
    num_items, width = shop_split.dataset.num_items, 64
    paths = item_start("transitions", shop_split, width // 2, 0)
    both = item_start("texts", shop_split, width, 0)
    texts = ItemTexts.of(shop_split.dataset, TextConfig(size=width // 2), "a test").vectors
    assert item_start("random", shop_split, width, 0) is None
    np.testing.assert_allclose(np.square(both).mean(axis=1), np.ones(num_items), rtol=1e-4)
    known = paths.any(axis=1)
    # Each half of an item that has both is as long as the other, and points as by itself.
    np.testing.assert_allclose(both[known, : width // 2], paths[known], atol=1e-4)
    expected = texts[known] * (width // 2) ** 0.5
    np.testing.assert_allclose(both[known, width // 2 :], expected, atol=1e-4)
    assert not both[~known, : width // 2].any()


def test_the_item_head_takes_the_start(shop_split):
    head = "prompts.tasks=sequential", "prompts.item_head=true", "training.learning_rate=1e-9"
    model = small_elmrec(*head, "prompts.item_init=texts", "training.epochs=1").fit(shop_split)
    found = model.network.item_head.embeddings.detach().numpy()
    expected = item_start("texts", shop_split, found.shape[1], 0) * found.shape[1] ** -0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)
