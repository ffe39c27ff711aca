"""Items without train rows in whole lists: what is fitted, and where they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, leave_one_out, with_cold_items
from edgewise.data.synthetic import make_demo_shop
from edgewise.models import new_item_weights
from edgewise.models.conditional_logit import Mixture, Observations
from edgewise.models.item_priors import PriorsConfig
from edgewise.models.mixing import PriorMixture
from edgewise.models.new_item_weights import NewItemWeights, fit_new_items, treated_as_new

NAMES = ("markov", "texts", "topics", "popularity")
USERS = np.arange(8)


@pytest.fixture(scope="module")
def split() -> Split:
    whole = leave_one_out(make_demo_shop(seed=1, num_users=120, num_items=48))
    return with_cold_items(whole, 0.2, seed=0)


def knows_nothing(users: np.ndarray, histories: Ragged) -> torch.Tensor:
    return torch.full((len(users), 48), -float(np.log(48)))


def mixture_of(split: Split, **settings) -> PriorMixture:
    config = PriorsConfig(**({"names": NAMES, "gate": False} | settings))
    found = PriorMixture.of(split, split.known_before("valid"), config, seed=0)
    assert found is not None
    found.fit(split, config, 0, knows_nothing)
    return found


@pytest.fixture(scope="module")
def mixture(split) -> PriorMixture:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_item_weights, "_FEWEST_TARGETS", 1)
        return mixture_of(split)


def test_a_tenth_of_the_known_items_is_treated_as_new(split):
    counts = np.arange(48) % 3
    new = treated_as_new(split.dataset.items, counts, 0)
    assert not new[counts == 0].any() and 1 <= new.sum() <= 10
    assert np.array_equal(new, treated_as_new(split.dataset.items, counts, 0))


def test_without_texts_the_share_of_new_targets_is_what_the_offset_says():
    """Two new items, all texts alike: b = log of the odds of one of them."""
    rows, items = 200, 6
    new, counts = np.array([1, 1, 0, 0, 0, 0], bool), np.ones(items, np.int64)
    targets = np.where(np.arange(rows) < 80, np.arange(rows) % 2, 2 + np.arange(rows) % 4)
    hidden = torch.zeros(rows, 1 + items, dtype=torch.bool)
    hidden[torch.arange(rows), 1 + torch.from_numpy(targets)] = True
    features = torch.zeros(rows, 2, 1 + items)
    features[:, 0] = torch.randn(rows, 1 + items)  # the language model's, which is not read
    part = Observations(features, hidden, torch.ones(rows, 1))
    columns = np.concatenate([targets, np.arange(items)])
    found = fit_new_items(("language model", "texts"), [part], [columns], new, counts)
    assert found is not None and found.names == ("texts",)
    # 40 targets of each new item against 120 known ones, and the ridge's small pull to 0.
    assert found.offset == pytest.approx(np.log(40 / 120), abs=0.01)
    assert found.weight("texts") == found.weight("markov") == 0
    few = fit_new_items(("language model",), [part], [columns], new, counts)
    assert few is None, "no prior is described"
    assert fit_new_items(("x", "texts"), [part], [columns], ~new & False, counts) is None


def test_scores_of_new_items_and_of_others(split, mixture):
    """Written out: known unseen items weigh 1 together, new ones b + v log(1 + S / e)."""
    histories = split.known_before("valid").take(USERS)
    likelihood = torch.randn(8, 48, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    new, untaught = mixture.new_items, mixture.untaught
    assert new is not None and len(untaught) > 3
    plain = replace(mixture, new_items=None).mixed(likelihood, histories).double()
    features = dict(zip(mixture.names[1:], mixture.features(histories), strict=True))
    found = mixture.mixed(likelihood, histories).double()
    for row, items in enumerate(histories.rows()):
        others = np.setdiff1d(np.arange(48), [*untaught, *items])
        expected = plain[row] - plain[row][others].logsumexp(0)
        told = sum(new.weight(name) * features[name][row].double() for name in ("texts", "topics"))
        expected[untaught] = new.offset + told[untaught]
        torch.testing.assert_close(found[row], expected.log_softmax(0), atol=1e-4, rtol=0)


def test_events_that_are_told_later_add_to_a_new_item(split, mixture):
    item = mixture.untaught[0]
    told = replace(mixture, priors=tuple(mixture.priors))
    told.untaught = mixture.untaught
    popular = told.priors[3]
    left = np.array(popular.left)
    left[0, item] = 40.0
    told.priors = (*told.priors[:3], replace(popular, left=left))
    histories = split.known_before("valid").take(USERS)
    likelihood = knows_nothing(USERS, histories)
    before, after = (each.mixed(likelihood, histories) for each in (mixture, told))
    weight = mixture.mixture.weights[4, 0] * np.log1p(40 / mixture.sizes[3])
    moved = (after - before)[:, item] - (after - before)[:, mixture.untaught[1]]
    np.testing.assert_allclose(moved, np.full(8, weight), atol=1e-4)


def test_they_are_explained_by_their_own_weights(split, mixture):
    histories = split.known_before("valid")
    history = histories[int(np.argmax(histories.lengths))]
    likelihood = knows_nothing(USERS[:1], histories)
    (shares,) = mixture.why(history, mixture.untaught[:1], likelihood)
    by_name = {share.name: share for share in shares}
    assert by_name["language model"].share == 0
    item = int(mixture.untaught[0])
    texts = [*mixture.features(Ragged.of_rows([history]))][1][0]
    lift = mixture.new_items.weight("texts") * float(texts[item] - texts.mean())
    assert by_name["texts"].evidence == pytest.approx(lift, abs=1e-5)


def test_they_are_kept_and_told(split, mixture, tmp_path):
    told = mixture.save(tmp_path)
    again = PriorMixture.load(tmp_path, told, split.known_before("valid"))
    assert again.new_items is not None
    assert again.new_items.to_dict() == mixture.new_items.to_dict()
    name, words = mixture.learned_rows()[-1]
    assert name == "new items" and words.startswith("beside the others -")
    assert NewItemWeights.from_dict(None) is None


def test_too_few_targets_or_a_setting_leave_them_as_they_were(split):
    assert mixture_of(split).new_items is None, "a dozen targets fit nothing"
    assert mixture_of(split, new_items=False).new_items is None


def test_data_whose_items_all_have_rows_are_scored_as_before(mixture):
    weights = Mixture(np.array([[-3.0], [1.0]]), np.zeros((2, 1)), 0.0, 1)
    taught = replace(
        mixture, item_counts=np.ones(48, np.int64), new_items=NewItemWeights(("texts",), weights)
    )
    histories = Ragged.of_rows([np.array([3, 4])])
    likelihood = knows_nothing(USERS[:1], histories)
    plain = replace(taught, new_items=None)
    assert torch.equal(taught.mixed(likelihood, histories), plain.mixed(likelihood, histories))
