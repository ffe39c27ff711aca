"""The data set folder: three Parquet tables and ``dataset.json``, written whole or not at all.

``interactions.parquet`` holds indices, ``users.parquet`` and ``items.parquet`` the raw ids by index
and what is known of the items. ``dataset.json`` holds the schema version, where the rows came
from, counts, and the checksum of each table.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

import edgewise
from edgewise.data.checksum import content_checksum, file_checksum
from edgewise.data.dataset_tables import TABLES, from_tables, to_tables
from edgewise.data.folders import is_taken, whole_folder
from edgewise.data.interactions import Dataset
from edgewise.errors import DataError

KIND = "edgewise data set"
SCHEMA_VERSION = 1
MANIFEST = "dataset.json"
KEYS = ("name", "counts", "source", "checksum", "sha256")


def save_dataset(dataset: Dataset, folder: str | Path, *, force: bool = False) -> None:
    """Write a data set folder under a temporary name beside it, then rename it.

    Raises:
        DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
    """
    folder = Path(folder)
    check_target(folder, force=force)
    with whole_folder(folder) as partial:
        for name, table in to_tables(dataset).items():
            table.write_parquet(partial / f"{name}.parquet")
        text = json.dumps(_manifest(dataset, partial), indent=2, ensure_ascii=False)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")


def load_dataset(folder: str | Path) -> Dataset:
    """Read a data set folder.

    Raises:
        DataError: the folder is missing, truncated, altered, too new, or no data set.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    tables = {name: _read_table(folder, name, manifest) for name in TABLES}
    return from_tables(tables, manifest["name"], manifest["source"])


def dataset_checksum(dataset: Dataset | str | Path) -> str:
    """The checksum of a data set's content, in memory or in a folder; see
    :func:`edgewise.data.checksum.content_checksum`.
    """
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset)
    return content_checksum(dataset)


def check_target(folder: str | Path, *, force: bool = False) -> None:
    """Whether a data set may be written there.

    Raises:
        DataError: the folder holds something; ``force`` replaces a data set, and nothing else.
    """
    folder = Path(folder)
    if not is_taken(folder):
        return
    if not _is_ours(folder):
        raise DataError(f"{folder}: something else is there and stays; choose another folder")
    if not force:
        raise DataError(f"{folder}: a data set is there; replace it with --force")


def read_manifest(folder: Path) -> dict:
    """``dataset.json``, checked to be ours and of a version that we read."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder}: no data set folder ({MANIFEST} is missing); make one with "
            "'edgewise data import SOURCE --out DIR'"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); import the data set again") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise DataError(f"{path}: not written by edgewise; make one with 'edgewise data import'")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {manifest.get('schema_version')}, this edgewise "
            f"({edgewise.__version__}) reads {SCHEMA_VERSION}; import the data set again"
        )
    if missing := [key for key in KEYS if key not in manifest]:
        raise DataError(f"{path}: {missing[0]!r} is missing; import the data set again")
    return manifest


def _is_ours(folder: Path) -> bool:
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def _manifest(dataset: Dataset, folder: Path) -> dict[str, object]:
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "edgewise_version": edgewise.__version__,
        "name": dataset.name,
        "counts": {
            "interactions": len(dataset.interactions),
            "users": dataset.num_users,
            "items": dataset.num_items,
        },
        "source": dataset.source,
        "checksum": content_checksum(dataset),
        "sha256": {f"{name}.parquet": file_checksum(folder / f"{name}.parquet") for name in TABLES},
    }


def _read_table(folder: Path, name: str, manifest: dict) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path}: missing from the data set; import it again")
    if file_checksum(path) != manifest["sha256"].get(path.name):
        raise DataError(f"{path}: truncated or altered since it was written; import it again")
    try:
        return pl.read_parquet(path)
    except PolarsError as error:
        raise DataError(f"{path}: cannot be read ({error}); import the data set again") from None
