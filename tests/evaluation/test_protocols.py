"""Named conditions: what they are called, what they keep, the splits that they make and refuse."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.filters import Filters
from edgewise.data.splits import Split, leave_one_out
from edgewise.data.synthetic import make_demo_shop
from edgewise.data.texts import explanation_pairs, explanation_split
from edgewise.errors import ConfigError, DataError
from edgewise.evaluation.evaluate import evaluate_direct, evaluate_sequential, usual_metrics
from edgewise.evaluation.protocols import (
    HONEST,
    PROTOCOLS,
    check_split,
    check_version,
    find_protocol,
    known_under,
    random_share,
    recorded_protocol,
    split_under,
    warning_on,
    with_all_edges,
    with_explained_edges,
)
from edgewise.models.popularity import Popularity

RELEASED = ("elmrec-released", "llm4rec-released")
# A digest that is new belongs to a new version: results say under which version they were measured.
CONTENT = {
    ("honest", 1): "490ff6d177eabad8",
    ("elmrec-released", 1): "37b662fe9408090b",
    ("llm4rec-released", 1): "50d91df406c8fe78",
    ("temporal", 1): "0b4f79c25f94b51b",
}


def test_the_names_and_which_of_them_leak():
    assert list(PROTOCOLS) == ["honest", *RELEASED, "temporal"]
    assert all(protocol.name == name for name, protocol in PROTOCOLS.items())
    leaking = [name for name, protocol in PROTOCOLS.items() if not protocol.is_honest]
    assert tuple(leaking) == RELEASED


@pytest.mark.parametrize("name", RELEASED)
def test_what_leaks_says_so_in_its_first_line(name):
    protocol = find_protocol(name)
    assert protocol.warning is not None and "\n" not in protocol.warning
    assert protocol.warning.startswith(f"LEAKS: figures under {name} v1 are too high")
    assert all(leak in protocol.warning for leak in protocol.leaks)


@pytest.mark.parametrize("name", ["honest", "temporal"])
def test_honest_ones_see_train_rows_alone(name):
    protocol = find_protocol(name)
    assert protocol.warning is None
    assert (protocol.graph_edges, protocol.explanation_rows) == ("train", "own part")
    assert protocol.item_numbers == "shuffled"
    assert not protocol.count_repeats and not protocol.random_padding


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_what_a_version_means_never_changes(protocol):
    """Only the words about it may: they move no figure."""
    content = asdict(protocol)
    del content["summary"], content["leaks"]
    # The digests were taken when a protocol named its rows by the filters of an import.
    rows = {name: content.pop(name) for name in ("min_rating", "k_core")}
    content["filters"] = asdict(Filters(**rows))
    text = json.dumps(content | {"is_honest": protocol.is_honest}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert CONTENT.get((protocol.name, protocol.version)) == digest


def test_nothing_is_said_of_texts_where_there_are_none():
    protocol = find_protocol("elmrec-released")
    bare = protocol.warning_where(has_texts=False)
    assert protocol.warning is not None and "texts of the test part" in protocol.warning
    assert bare is not None and "texts" not in bare and "edges of the graph" in bare
    assert HONEST.warning_where(has_texts=True) is None


def test_temporal_is_honest_but_for_the_split():
    temporal = find_protocol("temporal")
    assert temporal.split_kinds == ("time",) and temporal.split_kind == "time"
    shared = {"name": "honest", "summary": HONEST.summary, "split_kinds": HONEST.split_kinds}
    assert replace(temporal, **shared) == HONEST


@pytest.mark.parametrize(
    ("typed", "nearest"), [("honset", "honest"), ("elmrec", "elmrec-released"), ("time", None)]
)
def test_an_unknown_name_is_refused_with_the_nearest(typed, nearest):
    hint = f"Did you mean '{nearest}'?" if nearest else "Valid: elmrec-released, honest"
    with pytest.raises(ConfigError, match=f"^--protocol: no such protocol: '{typed}'") as caught:
        find_protocol(typed, "--protocol: ")
    assert hint in str(caught.value)


def test_the_share_of_edges_can_be_set_where_it_is_read():
    assert find_protocol("elmrec-released").edge_share == 0.535
    assert find_protocol("elmrec-released", edge_share=0.8).edge_share == 0.8
    with pytest.raises(ConfigError, match="edge_share belongs to protocols such as elmrec"):
        find_protocol("honest", edge_share=0.8)
    for share in (0.0, 1.01, float("nan")):
        with pytest.raises(ConfigError, match="a share above 0 and up to 1"):
            find_protocol("elmrec-released", edge_share=share)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_recorded_reads_back(name):
    protocol = find_protocol(name)
    assert protocol.to_dict()["name"] == name and protocol.to_dict()["version"] == 1
    assert recorded_protocol(protocol.to_dict()) == protocol
    check_version(protocol, "runs/x")


def test_options_are_recorded_where_they_are_read():
    protocol = find_protocol("elmrec-released", edge_share=0.8)
    assert protocol.to_dict() == {"name": "elmrec-released", "version": 1, "edge_share": 0.8}
    assert recorded_protocol(protocol.to_dict()) == protocol
    assert HONEST.to_dict() == {"name": "honest", "version": 1}


def test_what_is_older_than_protocols_was_honest():
    assert recorded_protocol(None) == HONEST


def test_another_version_is_read_but_not_measured():
    older = recorded_protocol({"name": "honest", "version": 0})
    assert older.title == "honest v0"
    with pytest.raises(ConfigError, match=r"runs/x: fitted under honest v0, but .* version 1"):
        check_version(older, "runs/x")


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
    for measure in (evaluate_direct, evaluate_sequential):
        with pytest.raises(ConfigError, match="not those of the protocol honest"):
            measure(model, splits["llm4rec-released"])


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
    split = split_under(replace(protocol, min_rating=None, k_core=None), dataset, seed=2)
    check_split(protocol, split)
    sizes = [len(part) for part in (split.train, split.valid, split.test)]
    assert min(sizes) > 0 and sum(sizes) == len(dataset.interactions)


def pairs(rows: Interactions) -> list[tuple[int, int]]:
    return list(zip(rows.user_index.tolist(), rows.item_index.tolist(), strict=True))


def without_texts(dataset: Dataset) -> Dataset:
    return replace(dataset, interactions=replace(dataset.interactions, review=None, summary=None))


@pytest.fixture(scope="module")
def split() -> Split:
    return leave_one_out(make_demo_shop(0, num_users=80))


def test_an_honest_split_gives_train_rows(split):
    assert split.graph_edges() is split.train
    histories = split.graph_histories()
    assert len(histories) == split.dataset.num_users
    assert histories[7].tolist() == split.known_before("valid")[7].tolist()


def test_edges_are_the_rows_whose_texts_are_trained_on(split):
    leaking = with_explained_edges(split, 0.5, seed=4)
    texts = explanation_split(leaking)
    train = texts.train
    assert texts.mode == "random"
    trained = list(zip(train.user_index.tolist(), train.item_index.tolist(), strict=True))
    assert pairs(leaking.graph_edges()) == trained
    having = len(explanation_pairs(split.dataset.interactions))
    assert len(trained) == having - 2 * (having // 10), "80 % of the rows with a text"
    leaked = len(set(pairs(split.test)) & set(trained)) / len(split.test)
    assert 0.5 < leaked < 0.9


def test_the_parts_themselves_stay_as_they_are(split):
    for leaking in (with_explained_edges(split, 0.5), with_all_edges(split)):
        for part in ("train", "valid", "test"):
            assert getattr(leaking, part) is getattr(split, part)


def test_texts_are_dealt_as_the_model_s_own_setting_deals_them(split):
    leaking, asked = (
        with_explained_edges(split, 0.5, seed=3),
        explanation_split(split, "random", seed=3),
    )
    for part in ("train", "valid", "test"):
        assert getattr(explanation_split(leaking), part).text == getattr(asked, part).text


def test_without_texts_a_share_of_all_rows_becomes_edges(split):
    bare = leave_one_out(without_texts(split.dataset))
    leaking = with_explained_edges(bare, 0.4, seed=1)
    edges = pairs(leaking.graph_edges())
    assert len(edges) == round(0.4 * len(bare.dataset.interactions))
    rows = pairs(bare.dataset.interactions)
    assert set(edges) <= set(rows) and set(edges) & set(pairs(bare.test))
    assert len(explanation_split(leaking).train) == 0


def test_the_deal_hangs_on_the_seed_alone(split):
    def deal(seed):
        return pairs(with_explained_edges(split, 0.5, seed).graph_edges())

    assert deal(1) == deal(1)
    assert deal(1) != deal(2)


def test_a_share_keeps_the_order_of_rows():
    rows = Interactions(np.arange(10, dtype=np.int32), np.arange(10, dtype=np.int32))
    chosen = random_share(rows, 0.5, seed=0).user_index.tolist()
    assert len(chosen) == 5 and chosen == sorted(chosen)
    assert len(random_share(rows, 1.0, seed=0)) == 10
    with pytest.raises(ConfigError, match="edge_share = 0"):
        random_share(rows, 0, seed=0)


def test_all_edges_are_all_rows(split):
    assert pairs(with_all_edges(split).graph_edges()) == pairs(split.dataset.interactions)
    assert with_all_edges(split).text_rows is None
