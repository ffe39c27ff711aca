"""Every public object fits on a screen when a notebook or a debugger shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgewise
from edgewise import evaluate, leave_one_out
from edgewise.data.item_lists import CandidateLists
from edgewise.data.splits import Split
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.protocols import HONEST
from edgewise.item_texts import ItemTexts, TextConfig, item_attributes
from edgewise.models.registry import METHODS, find_method
from edgewise.models.transitions import Transitions
from edgewise.recommender import FitOptions, ItemFilter, Recommender
from edgewise.runs.run import Run, RunInfo
from edgewise.runs.spec import DataInfo, RunSpec

LINES, WIDTH = 12, 100


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_one_out(make_demo_shop(1, num_users=300, num_items=144))


@pytest.fixture(scope="module")
def model(split: Split) -> Recommender:
    return Transitions().fit(split)


def run_of(model: Recommender, split: Split) -> Run:
    spec = RunSpec("transitions", model.config, DataInfo.of(split.dataset, "data/" + "x" * 20))
    return Run(spec.data.folder, RunInfo(spec), model, split.dataset, split)  # type: ignore[arg-type]


OBJECTS: dict[str, Callable[[Recommender, Split], Any]] = {
    "Dataset": lambda model, split: split.dataset,
    "Interactions": lambda model, split: split.train,
    "Catalog": lambda model, split: split.dataset.catalog,
    "Vocabulary": lambda model, split: split.dataset.users,
    "Split": lambda model, split: split,
    "Ragged": lambda model, split: model.data.histories,
    "FittedData": lambda model, split: model.data,
    "ItemFacets": lambda model, split: model.data.facets,
    "ItemFilter": lambda model, split: ItemFilter(model.data.histories, np.ones(144, bool)),
    "FitOptions": lambda model, split: FitOptions(),
    "Transitions": lambda model, split: model,
    "Recommendations": lambda model, split: model.recommend(np.arange(300), 50),
    "SimilarItems": lambda model, split: model.similar_items(np.arange(144), 50),
    "CandidateLists": lambda m, s: CandidateLists.from_lists(np.arange(9), [np.arange(99)] * 9),
    "RankingReport": lambda model, split: evaluate(model, split)["sequential"],
    "ItemTexts": lambda model, split: ItemTexts.of(split.dataset, TextConfig(), "a test"),
    "ItemAttributes": lambda model, split: item_attributes(split.dataset.catalog),
    "Run": run_of,
    "RunInfo": lambda model, split: run_of(model, split).info,
    "RunSpec": lambda model, split: run_of(model, split).spec,
    "Protocol": lambda model, split: HONEST,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_it_fits_on_a_screen(name, model, split):
    lines = repr(OBJECTS[name](model, split)).splitlines()
    assert name in lines[0] and len(lines) <= LINES
    assert max(map(len, lines)) <= (WIDTH if len(lines) > 1 else 4 * WIDTH)


@pytest.mark.parametrize("name", METHODS)
def test_methods_and_their_settings_fit_on_a_screen(name):
    method = find_method(name).recommender
    assert repr(method()) == f"{method.__name__}(not fitted)"
    assert repr(method().config) == f"{type(method().config).__name__}()", "no setting was changed"
    for preset in method.PRESETS:
        assert len(repr(method.from_preset(preset).config)) <= LINES * WIDTH


def test_settings_show_what_was_changed():
    config = edgewise.SASRec(hidden_size=32).config
    assert repr(config) == "SASRecConfig(hidden_size=32)"
