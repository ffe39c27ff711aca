"""Figures stand in one column only if they were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgewise.errors import EdgewiseError
from edgewise.evaluation.protocols import recorded_protocol
from edgewise.experiments.results import TIME, Result

MUST_AGREE = {
    "part": "part",
    "max_users": "number of users",
    "max_pairs": "number of pairs",
    "users_seed": "sample of users",
    "pairs_seed": "sample of pairs",
    "num_negatives": "number of negatives",
    "negatives_seed": "sample of negatives",
    "split": "split",
    "split_seed": "seed of the split",
    "cold_items": "share of cold items",
    "first_events": "first events of cold items",
}
_PROTOCOL = {
    "name": "protocol",
    "version": "version of the protocol",
    "edge_share": "share of edges",
}


def check_same_conditions(results: Sequence[Result], task: str) -> None:
    """Refuse results of one block and protocol that were not measured alike.

    Raises:
        EdgewiseError: names both files and what differs.
    """
    for other in results[1:]:
        before, now = (_conditions(each, task) for each in (results[0], other))
        for name in dict.fromkeys([*before, *now]):
            if before.get(name) != now.get(name):
                raise EdgewiseError(
                    f"{results[0].file} and {other.file} are not comparable: {name} is "
                    f"{_spelled(before, name)} for the one and {_spelled(now, name)} for the "
                    "other; measure both alike, or compare one of them"
                )


def _conditions(result: Result, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {"data checksum": result.data["checksum"][:12]}
    if result.kind != "run":
        return found
    protocol = recorded_protocol(result.content["run"].get("protocol")).to_dict()
    found |= {_PROTOCOL.get(key, key): value for key, value in protocol.items()}
    if task != TIME:
        settings = result.report(task)["settings"]
        found |= {said: settings[key] for key, said in MUST_AGREE.items() if key in settings}
    return found


def _spelled(conditions: Mapping[str, Any], name: str) -> object:
    value = conditions.get(name, "not told")
    return "all" if value is None else value


def conditions_in_words(results: Sequence[Result], task: str, lacking: str) -> str | None:
    """How many users, which split, which data; None of what was not measured on users."""
    for result in results:
        if result.kind == "run":
            report = result.report(task)
            users = report.get("num_users")
            counted = f"{users:,} users" if users else f"{report['num_pairs']:,} pairs"
            checksum = result.data["checksum"][:12]
            return f"{counted}, {report['settings']['split']} split, data {checksum}{lacking}"
    return None
