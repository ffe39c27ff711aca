"""Protocols make the split, and refuse data that are not as they ask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgewise.data.dataset import Dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.errors import ConfigError, DataError
from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential, usual_metrics
from edgewise.evaluation.protocols import (
    HONEST,
    PROTOCOLS,
    check_split,
    find_protocol,
    known_under,
    split_under,
    warning_on,
)
from edgewise.models.popularity import Popularity

ELMREC, LLM4REC = find_protocol("elmrec-released"), find_protocol("llm4rec-released")
TEMPORAL = find_protocol("temporal")


def fifths(make_dataset, **source) -> Dataset:
    """20 users with 8 of 20 items each; each item has 8 rows, all rated 5."""
    dataset = make_dataset([[(user + step) % 20 for step in range(8)] for user in range(20)], 20)
    rated = replace(dataset.interactions, rating=np.full(160, 5, np.float32))
    return replace(dataset, interactions=rated, source=source)


@pytest.fixture
def shuffled(make_dataset) -> Dataset:
    return fifths(make_dataset)


@pytest.fixture
def numbered(make_dataset) -> Dataset:
    return fifths(make_dataset, item_numbers="source")


def test_a_warning_tells_of_texts_only_where_there_are_some(numbered):
    bare = warning_on(ELMREC, numbered)
    assert bare is not None and "texts" not in bare
    shop = make_demo_shop(3, num_users=20, num_items=96)
    assert warning_on(ELMREC, shop) == ELMREC.warning
    assert warning_on(HONEST, shop) is None


def test_the_split_is_the_protocols_own_unless_another_is_asked_for(shuffled):
    assert split_under(HONEST, shuffled).kind == "leave-one-out"
    assert split_under(HONEST, shuffled, "ratio", 3).seed == 3
    assert split_under(LLM4REC, shuffled).kind == "ratio"
    shop = make_demo_shop(0, num_users=40)
    assert split_under(TEMPORAL, shop).kind == "time"


def test_edges_by_protocol(shuffled, numbered):
    honest = split_under(HONEST, shuffled)
    assert honest.graph_edges() is honest.train
    assert len(split_under(ELMREC, numbered).graph_edges()) == round(0.535 * 160)
    most = find_protocol("elmrec-released", edge_share=0.8)
    assert len(split_under(most, numbered).graph_edges()) == 128
    assert len(split_under(LLM4REC, shuffled).graph_edges()) == 160


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [(TEMPORAL, "leave-one-out"), (ELMREC, "ratio"), (LLM4REC, "leave-one-out")],
)
def test_a_split_that_the_protocol_does_not_have(protocol, kind, make_dataset):
    dataset = fifths(make_dataset, item_numbers=protocol.item_numbers)
    with pytest.raises(ConfigError, match=f"'{kind}': the protocol {protocol.name} splits by"):
        split_under(protocol, dataset, kind)


def test_time_is_asked_for_where_there_is_none(shuffled):
    with pytest.raises(DataError, match="has no timestamps and cannot be split by time"):
        split_under(TEMPORAL, shuffled)


def test_numbers_are_as_the_protocol_asks(shuffled, numbered):
    with pytest.raises(DataError, match=r"elmrec-released asks for the source's own.*import .* "):
        split_under(ELMREC, shuffled)
    for protocol in (HONEST, TEMPORAL, LLM4REC):
        with pytest.raises(DataError, match=r"keeps its source's numbers.*import it again"):
            split_under(protocol, numbered)


def test_rows_are_filtered_as_the_protocol_asks(shuffled):
    rows = shuffled.interactions
    assert rows.rating is not None

    def rated(ratings) -> Dataset:
        return replace(shuffled, interactions=replace(rows, rating=ratings))

    low, missing = rows.rating.copy(), rows.rating.copy()
    low[3], missing[3] = 3, np.nan
    for ratings in (low, missing, None):
        with pytest.raises(DataError, match="import it again with --min-rating 4"):
            split_under(LLM4REC, rated(ratings))
        split_under(HONEST, rated(ratings))
    fewer = replace(shuffled, interactions=rows.take(np.arange(4, 160)))
    with pytest.raises(DataError, match=r"with 4 rows, and .* asks for 5 of each"):
        split_under(LLM4REC, fewer)


def test_a_split_is_measured_under_its_own_protocol_alone(shuffled, numbered):
    splits = {
        "honest": split_under(HONEST, shuffled),
        "elmrec-released": split_under(ELMREC, numbered),
        "llm4rec-released": split_under(LLM4REC, shuffled),
    }
    for made, split in splits.items():
        for name in splits:
            if made == name:
                check_split(find_protocol(name), split)
                continue
            with pytest.raises(ConfigError, match=f"not those of the protocol {name}"):
                check_split(find_protocol(name), split)
    model = Popularity().fit(splits["llm4rec-released"])
    for evaluate in (evaluate_direct, evaluate_sequential):
        with pytest.raises(ConfigError, match="not those of the protocol honest"):
            evaluate(model, splits["llm4rec-released"])


def test_what_is_known_before_the_test(shuffled):
    split = split_under(LLM4REC, shuffled)
    for part in ("valid", "test"):
        assert known_under(HONEST, split, part)[3].tolist() == split.known_before(part)[3].tolist()
        train_only = split.known_before("valid")[3].tolist()
        assert known_under(LLM4REC, split, part)[3].tolist() == train_only


def test_a_protocol_measures_what_its_paper_measures(shuffled, numbered):
    split = split_under(LLM4REC, shuffled)
    assert usual_metrics(split, LLM4REC) == ("Recall", "NDCG")
    assert usual_metrics(split, HONEST)[0] == "Recall"
    report = evaluate_sequential(Popularity().fit(split), split, protocol=LLM4REC)
    assert {"Recall@20", "Recall@40", "NDCG@100"} <= report.metrics.keys()
    assert report.settings["masked"] == "train items" and report.protocol == LLM4REC
    released = split_under(ELMREC, numbered)
    direct = evaluate_direct(Popularity().fit(released), released, protocol=ELMREC)
    assert [*direct.metrics] == ["HitRate@5", "HitRate@10", "NDCG@5", "NDCG@10"]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_makes_a_split_it_accepts(name):
    shop, protocol = make_demo_shop(0, num_users=60), find_protocol(name)
    dataset = replace(shop, source={**shop.source, "item_numbers": protocol.item_numbers})
    split = split_under(replace(protocol, filters=HONEST.filters), dataset, seed=2)
    check_split(protocol, split)
    sizes = [len(part) for part in (split.train, split.valid, split.test)]
    assert min(sizes) > 0 and sum(sizes) == len(dataset.interactions)
