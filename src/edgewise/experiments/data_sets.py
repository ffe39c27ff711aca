"""The data sets on this machine, and whether results were measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewise.configuration import check, nearest
from edgewise.data.storage import MANIFEST, dataset_checksum, read_manifest
from edgewise.errors import EdgewiseError
from edgewise.experiments.layout import Layout
from edgewise.experiments.results import Result


def recorded_checksum(folder: Path) -> str | None:
    """The checksum that a data set folder tells of itself; None where there is none.

    Raises:
        DataError: ``dataset.json`` is damaged, or of another version.
    """
    return read_manifest(folder)["checksum"] if (folder / MANIFEST).is_file() else None


def other_data(found: str, wanted: str) -> str:
    """In words, that something was made of one data set and not of the other."""
    return f"measured on other data (checksum {found[:12]}, now {wanted[:12]})"


def check_same_data(results: Sequence[Result]) -> None:
    """Refuse results whose data sets bear one name and are not the same.

    Raises:
        EdgewiseError: names both files.
    """
    first: dict[str, Result] = {}
    for result in results:
        known = first.setdefault(f"{_name(result)} {result.place.protocol}", result)
        if known.data["checksum"] != result.data["checksum"]:
            raise EdgewiseError(
                f"{result.file}: measured on other data than {known.file} (checksum "
                f"{result.data['checksum'][:12]} instead of {known.data['checksum'][:12]}), though "
                f"both call it {_name(result)!r}; leave one of them out, or name the data set that "
                "you mean with --data DIR: the other file is then told, and how to make it again"
            )


def check_data(results: Sequence[Result], layout: Layout, given: Path | None = None) -> None:
    """Refuse results that were measured on other data than this machine has under their names.

    Data sets are known by the names of their folders: one that was imported otherwise, as
    protocols may ask, has another name and is no matter of the first.

    Args:
        results: what is to be shown.
        layout: ``data/`` below its runs is looked into; what is not there cannot be compared.
        given: a data set folder, or a folder of them, that counts instead for what it holds.

    Raises:
        EdgewiseError: names the file; or nothing in ``given`` belongs to any result.
    """
    named = _named(results, given) if given is not None else {}
    whole = {name: dataset_checksum(folder) for name, folder in named.items()}
    for result in results:
        name = _name(result)
        folder = named.get(name, layout.runs / "data" / name)
        wanted = whole.get(name) or recorded_checksum(folder)
        if wanted is not None and wanted != result.data["checksum"]:
            home = result.home or result.place
            raise EdgewiseError(
                f"{result.file}: {other_data(result.data['checksum'], wanted)} than {folder} "
                f"holds; leave the file out, make it again with 'edgewise reproduce "
                f"{home.table or '.'} --dataset {home.dataset} --method {home.method} --force', or "
                "name the data set that it was measured on with --data DIR"
            )


def _named(results: Sequence[Result], given: Path) -> dict[str, Path]:
    """Folders of the results' data sets, by name: the one that was given, or those in it."""
    names = sorted({_name(result) for result in results})
    own = given.resolve().name
    if (given / MANIFEST).is_file():
        folders = {own: given} if own in names else {}
    else:
        folders = {name: given / name for name in names if (given / name / MANIFEST).is_file()}
    check(
        bool(folders) or not names,
        f"--data {given}: no result was measured on a data set folder of that name, nor on one in "
        f"it.{nearest(own, names)}",
    )
    return folders


def _name(result: Result) -> str:
    return Path(result.data["folder"]).name
