"""Named conditions: what they are called, what they say of themselves, what is kept of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import pytest

from edgewise.errors import ConfigError
from edgewise.evaluation.protocols import (
    HONEST,
    PROTOCOLS,
    check_version,
    find_protocol,
    recorded_protocol,
)

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
