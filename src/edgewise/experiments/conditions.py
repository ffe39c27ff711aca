"""Figures stand in one column only if they were measured alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewise.data.storage import dataset_checksum
from edgewise.errors import EdgewiseError
from edgewise.experiments.results import TIME, Result

_MUST_AGREE = {
    "part": "part",
    "max_users": "number of users",
    "max_pairs": "number of pairs",
    "users_seed": "sample of users",
    "pairs_seed": "sample of pairs",
    "num_negatives": "number of negatives",
    "negatives_seed": "sample of negatives",
    "split": "split",
    "split_seed": "seed of the split",
}


def check_same_conditions(results: Sequence[Result], task: str) -> None:
    """Refuse results of one block and protocol that were not measured alike.

    Raises:
        EdgewiseError: names both files and what differs.
    """
    for other in results[1:]:
        before, now = (_conditions(each, task) for each in (results[0], other))
        for name, value in before.items():
            if now.get(name) != value:
                raise EdgewiseError(
                    f"{results[0].file} and {other.file} are not comparable: {name} is {value} "
                    f"for the one and {now.get(name)} for the other; measure both alike, or "
                    "compare one of them"
                )


def check_same_data(results: Sequence[Result]) -> None:
    """Refuse results whose data sets bear one name and are not the same.

    Raises:
        EdgewiseError: names both files.
    """
    first: dict[str, Result] = {}
    for result in results:
        name = f"{Path(result.data['folder']).name} {result.place.protocol}"
        known = first.setdefault(name, result)
        if known.data["checksum"] != result.data["checksum"]:
            raise EdgewiseError(
                f"{result.file}: measured on other data than {known.file} (checksum "
                f"{result.data['checksum'][:12]} instead of {known.data['checksum'][:12]}), though "
                "both data sets have one name; run one of them again"
            )


def check_data(results: Sequence[Result], folder: Path) -> None:
    """Refuse results that were not measured on the data set in a folder.

    Raises:
        EdgewiseError: names the file.
    """
    checksum = dataset_checksum(folder)
    for result in results:
        if result.data["checksum"] != checksum:
            raise EdgewiseError(
                f"{result.file}: measured on other data (checksum "
                f"{result.data['checksum'][:12]}) than {folder} ({checksum[:12]}); leave the file "
                "out, or run its cell again"
            )


def conditions_of(results: Sequence[Result], task: str) -> dict[str, str]:
    """In words, by protocol: how many users, which split, which data."""
    found: dict[str, str] = {}
    for result in results:
        if result.kind != "run" or task == TIME:
            continue
        report = result.report(task)
        users = report.get("num_users")
        counted = f"{users:,} users" if users else f"{report['num_pairs']:,} pairs"
        checksum = result.data["checksum"][:12]
        words = f"{counted}, {report['settings']['split']} split, data {checksum}"
        found.setdefault(result.place.protocol, words)
    return found


def _conditions(result: Result, task: str) -> dict[str, Any]:
    found: dict[str, Any] = {"data checksum": result.data["checksum"][:12]}
    if result.kind == "run" and task != TIME:
        settings = result.report(task)["settings"]
        found |= {said: settings[key] for key, said in _MUST_AGREE.items() if key in settings}
    return found
