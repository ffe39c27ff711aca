"""Vectors of users and items for other systems, and an index of items to search by them.

An export is a folder: ``users.parquet`` and ``items.parquet`` with ids and vectors (the form
``npy`` puts the vectors into ``users.npy`` and ``items.npy`` beside them, rows alike),
``items.faiss`` where an index was asked for, and ``embeddings.json``, which says what they come
from and mean. It appears whole or not at all.

Where scores are dot products, an index answers as the model ranks, less what it does not know:
histories to leave out, filters, people without a history. Other vectors are compared by cosine.

Shapes: B queries, U users, I items, D numbers of a vector, K items of a list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from edgewise.config import check
from edgewise.data.dataset import Vocabulary, histories_of, read_parquet
from edgewise.data.ranking import best_of_products
from edgewise.errors import ConfigError, DataError
from edgewise.files import file_checksum, is_taken, recover, versions, whole_folder
from edgewise.parsing import Shape, read_json
from edgewise.runs.run import Run
from edgewise.seals import check_fields, seal_fields
from edgewise.serving.version import model_version

ABOUT, KIND, INDEX = "embeddings.json", "edgewise embeddings", "items.faiss"
Form = Literal["parquet", "npy"]
IndexKind = Literal["faiss", "faiss-flat"]
FORMS: tuple[str, ...] = ("parquet", "npy")
INDEXES: tuple[str, ...] = ("faiss", "faiss-flat")

_VERSION = 1
_AGAIN = "export it again"
# Of HNSW (Malkov and Yashunin, IEEE TPAMI 2020): links of a node, and nodes looked at.
_LINKS, _LOOKED_AT_BUILDING, _LOOKED_AT = 32, 200, 128
_QUERIES, _K = 1000, 10


class _ExportFile(Shape):
    """``embeddings.json``."""

    kind: str
    version: int
    comparison: Literal["dot product", "cosine"]
    size: int
    users: int
    items: int
    sha256: dict[str, str]


@dataclass(frozen=True, eq=False)
class EmbeddingIndex:
    """Items to be searched by vectors.

    Attributes:
        items: raw ids by row.
        comparison: ``dot product``, or ``cosine``.
        index: of faiss.
    """

    items: Vocabulary
    comparison: str
    index: Any

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"EmbeddingIndex({len(self):,} items of {self.index.d} numbers, {self.comparison})"

    def search(self, vectors: np.ndarray, k: int = 10) -> pl.DataFrame:
        """The k items nearest each vector: ``query, item_id, score, rank``, query by query.

        Args:
            vectors: such as ``model.user_embeddings(users)``, ``float32[B, D]``.
            k: items a query; an approximate index may find fewer.

        Raises:
            ConfigError: vectors of another size, or no k.
        """
        wanted = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
        told = f"vectors of {wanted.shape[-1]} numbers: this index has {self.index.d}"
        check(wanted.ndim == 2 and wanted.shape[1] == self.index.d, told)
        check(k >= 1, f"k = {k}: must be 1 or more")
        if self.comparison == "cosine":
            wanted = _unit(wanted)
        scores, items = self.index.search(np.ascontiguousarray(wanted), min(k, len(self)))
        found = items >= 0
        query, place = np.nonzero(found)
        names = pl.Series(self.items.ids, dtype=pl.String).gather(items[found])
        columns = {"query": query, "item_id": names, "score": scores[found], "rank": place + 1}
        return pl.DataFrame(columns).cast({"query": pl.Int32, "rank": pl.Int32})

    def similar_items(self, items: Sequence[str], k: int = 10) -> pl.DataFrame:
        """The k items nearest each item, itself left out: ``similar_to, item_id, score, rank``."""
        rows = self.items.indices_of(items)
        vectors = np.stack([self.index.reconstruct(int(row)) for row in rows])
        found = self.search(vectors, k + 1).with_columns(
            similar_to=pl.col("query").replace_strict(
                dict(enumerate(items)), return_dtype=pl.String
            )
        )
        others = found.filter(pl.col("item_id") != pl.col("similar_to"))
        others = others.with_columns(rank=pl.col("score").cum_count().over("query").cast(pl.Int32))
        return others.filter(pl.col("rank") <= k).select("similar_to", "item_id", "score", "rank")


def export_embeddings(
    run: Run,
    folder: str | Path,
    *,
    form: Form = "parquet",
    index: IndexKind | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the vectors of a run's users, by everything the data set tells of them, and items.

    Args:
        run: opened.
        folder: to write.
        form: of the vectors.
        index: ``faiss`` is approximate (HNSW), ``faiss-flat`` exact; the extra ``index``.
        force: replace an export that is there.

    Returns:
        What ``embeddings.json`` says; of an index ``recall@10`` beside the exact answer.

    Raises:
        ConfigError: the method has no vectors, the extra is missing, or something is there.
    """
    folder, model = Path(folder), run.model
    check(form in FORMS, f"--format {form}: choose {' or '.join(FORMS)}")
    check(index is None or index in INDEXES, f"--index {index}: choose {' or '.join(INDEXES)}")
    if index is not None:
        _faiss()
    _check_target(folder, force)
    items = model.item_embeddings()
    users = model.user_embeddings(
        histories=histories_of(run.dataset.num_users, run.dataset.interactions)
    )
    comparison = "dot product" if model.ranks_by_embeddings else "cosine"
    about: dict[str, Any] = {
        "kind": KIND,
        "version": _VERSION,
        "model": {"version": model_version(run.folder), "method": run.spec.method_name},
        "data": {"name": run.dataset.name, "checksum": run.dataset.checksum},
        "comparison": comparison,
        "size": int(items.shape[1]),
        "users": len(users),
        "items": len(items),
        "format": form,
        "index": None,
        "versions": versions(),
    }
    tables = {"user": (run.dataset.users, users), "item": (run.dataset.items, items)}
    with whole_folder(folder) as partial:
        _check_target(folder, force)
        for kind, (ids, vectors) in tables.items():
            columns: dict[str, Any] = {f"{kind}_id": pl.Series(ids.ids, dtype=pl.String)}
            if form == "parquet":
                size = pl.Array(pl.Float32, vectors.shape[1])
                columns["embedding"] = pl.Series(vectors, dtype=size)
            else:
                np.save(partial / f"{kind}s.npy", np.ascontiguousarray(vectors))
            pl.DataFrame(columns).write_parquet(partial / f"{kind}s.parquet")
        if index is not None:
            about["index"] = _write_index(partial / INDEX, index, comparison, users, items)
        names = sorted(path.name for path in partial.iterdir())
        about["sha256"] = {name: file_checksum(partial / name) for name in names}
        text = json.dumps(seal_fields(about), indent=2) + "\n"
        (partial / ABOUT).write_text(text, encoding="utf-8")
    return about


def read_index(folder: str | Path) -> EmbeddingIndex:
    """Open the index of an export.

    Example:
        >>> index = read_index("vectors")                                    # doctest: +SKIP
        >>> index.search(model.user_embeddings(["u1"]), k=10)                 # doctest: +SKIP

    Raises:
        DataError: there is none, or a file was altered.
        ConfigError: faiss is not installed.
    """
    folder = Path(folder)
    about = _read_about(folder)
    if INDEX not in about["sha256"]:
        raise DataError(
            f"{folder} has no index: export it again with --index faiss, or read its vectors"
        )
    for name in (INDEX, "items.parquet"):
        if not (folder / name).is_file() or file_checksum(folder / name) != about["sha256"][name]:
            raise DataError(f"{folder / name} is missing or was altered; {_AGAIN}")
    ids = read_parquet(folder / "items.parquet", DataError, _AGAIN)["item_id"]
    index = _faiss().read_index(str(folder / INDEX))
    return EmbeddingIndex(Vocabulary(tuple(ids), "item"), about["comparison"], index)


def recall_of(found: np.ndarray, exact: np.ndarray) -> float:
    """Share of the exact answers ``int[B, K]`` that are among those found ``int[B, K]``."""
    pairs = zip(found, exact, strict=True)
    return float(np.mean([np.isin(wanted, row).mean() for row, wanted in pairs]))


def _write_index(
    path: Path, kind: str, comparison: str, users: np.ndarray, items: np.ndarray
) -> dict[str, Any]:
    faiss = _faiss()
    if comparison == "cosine":
        users, items = _unit(users), _unit(items)
    items = np.ascontiguousarray(items)
    size = items.shape[1]
    if kind == "faiss":
        index = faiss.IndexHNSWFlat(size, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _LOOKED_AT_BUILDING, _LOOKED_AT
    else:
        index = faiss.IndexFlatIP(size)
    index.add(items)
    faiss.write_index(index, str(path))
    told = {"kind": "HNSW" if kind == "faiss" else "flat"}
    known = np.flatnonzero(users.any(axis=1))
    asked = users[known[:: max(1, len(known) // _QUERIES)][:_QUERIES]]
    if not len(asked):
        return told
    k = min(_K, len(items))
    exact, _ = best_of_products(asked, items, k)
    found = index.search(np.ascontiguousarray(asked), k)[1]
    return {**told, f"recall@{k}": round(recall_of(found, exact), 4), "queries": len(asked)}


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ConfigError(
            "an index needs faiss, which is not installed: pip install 'edgewise[index]'"
        ) from None
    return faiss


def _read_about(folder: Path) -> dict[str, Any]:
    recover(folder)
    path = folder / ABOUT
    if not path.is_file():
        raise DataError(
            f"{folder}: no embeddings ({ABOUT} is missing); make some with "
            f"'edgewise export embeddings RUN --out {folder}'"
        )
    about = read_json(path, DataError, _AGAIN, _ExportFile)
    if about["kind"] != KIND or about["version"] != _VERSION:
        raise DataError(f"{path} was not written by this version of edgewise; {_AGAIN}")
    check_fields(about, path, "Export it again", DataError)
    return about


def _check_target(folder: Path, force: bool) -> None:
    recover(folder)
    if not is_taken(folder):
        return
    ours = (folder / ABOUT).is_file()
    check(ours, f"{folder}: something else is there and stays; choose another folder")
    check(force, f"{folder}: embeddings are there; choose another folder, or replace with --force")
