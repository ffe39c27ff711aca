"""Lists for everybody, worked out in advance: Parquet shards and a manifest that tells of them.

A batch is a folder of shards (``part-00000.parquet`` and so on, with ``user_id, item_id, score,
rank``) and ``manifest.json``: which model, data, vocabularies and settings they come from, and the
counts and the SHA-256 of every shard. Shards take their names whole or not at all, and the manifest
names a shard when it stands. So whatever kills a batch, running it again checks the shards that the
manifest names, writes those that are missing or damaged, and comes to the same rows.

Users are numbers and shards are ranges of them: what grows with their number is four bytes a user.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from edgewise.config import check
from edgewise.data.item_facets import Filters
from edgewise.errors import ConfigError, DataError, EdgewiseError
from edgewise.files import ABOUT, file_checksum, is_taken, versions, write_text
from edgewise.locks import locked
from edgewise.parsing import Shape, read_json
from edgewise.recommender import Items, Users
from edgewise.runs.run import Run, open_run
from edgewise.seals import check_fields, seal_fields
from edgewise.serving.batch_shards import COLUMNS, Shard, ShardOptions, ShardWriter, shard_name
from edgewise.serving.version import model_version

MANIFEST, KIND = "manifest.json", "edgewise batch"
USERS_PER_SHARD = 10_000
WRITING, FINISHED = "writing", "finished"
Engine = Literal["local", "ray"]
Job = tuple[int, np.ndarray]
"""The number of a shard and its users by index."""

_VERSION = 1
_AGAIN = "write the batch again with --force"
_SAVED_EVERY = 1.0  # seconds; what a kill may undo of shards that stand
_CHECKED = ("model", "data", "vocabularies", "settings")


class _ShardPart(Shape):
    file: str
    users: int
    rows: int
    cold_users: int
    short_lists: int
    sha256: str


class _BatchFile(Shape):
    """``manifest.json``."""

    kind: str
    version: int
    status: Literal["writing", "finished"]
    model: dict[str, Any]
    data: dict[str, Any]
    vocabularies: dict[str, Any]
    settings: dict[str, Any]
    counts: dict[str, int]
    shards: list[_ShardPart]


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch as its manifest tells of it.

    Attributes:
        folder: that holds it.
        about: of model, data, vocabularies, settings and versions.
        num_shards: that it has when it is finished.
        shards: that are finished, by number.
        kept: of these, how many an earlier command had written.
    """

    folder: Path
    about: Mapping[str, Any]
    num_shards: int
    shards: Mapping[int, Shard]
    kept: int = 0

    @property
    def finished(self) -> bool:
        """Whether every shard stands."""
        return len(self.shards) == self.num_shards

    @property
    def counts(self) -> dict[str, int]:
        """Users, rows of their lists, users without a history, lists shorter than k, shards."""
        names = ("users", "rows", "cold_users", "short_lists")
        sums = {n: sum(getattr(shard, n) for shard in self.shards.values()) for n in names}
        return {**sums, "shards": self.num_shards}

    def lists(self) -> pl.LazyFrame:
        """``user_id, item_id, score, rank``, read from the shards as they are asked for.

        Raises:
            DataError: the batch is not finished.
        """
        if not self.finished:
            raise DataError(
                f"{self.folder}: {len(self.shards)} of {self.num_shards} shards are written; run "
                "the same 'edgewise batch' again to go on"
            )
        if not self.shards:
            return pl.LazyFrame(schema=COLUMNS)
        return pl.scan_parquet([self.folder / s.file for s in self._in_order()], glob=False)

    def faults(self) -> list[str]:
        """What is wrong with the files: one sentence for each that is missing or was altered."""
        return [fault for shard in self._in_order() if (fault := _fault(self.folder, shard))]

    def __repr__(self) -> str:
        counts, state = self.counts, FINISHED if self.finished else WRITING
        return (
            f"Batch({self.about['model']['version']}: {counts['users']:,} users, "
            f"{counts['rows']:,} rows, {len(self.shards)} of {self.num_shards} shards, {state})"
        )

    def write(self) -> None:
        """Put the manifest into the folder, sealed, whole or not at all."""
        values = {
            "kind": KIND,
            "version": _VERSION,
            "status": FINISHED if self.finished else WRITING,
            **self.about,
            "counts": self.counts,
            "shards": [shard.to_dict() for shard in self._in_order()],
        }
        write_text(self.folder / MANIFEST, json.dumps(seal_fields(values), indent=1) + "\n")

    def _in_order(self) -> list[Shard]:
        return [self.shards[number] for number in sorted(self.shards)]


def write_batch(
    run: Run | str | Path,
    folder: str | Path,
    users: Users | None = None,
    *,
    k: int = 100,
    exclude_seen: bool = True,
    allow: Items | None = None,
    deny: Items | None = None,
    filters: Filters | None = None,
    users_per_shard: int = USERS_PER_SHARD,
    engine: Engine = "local",
    workers: int = 1,
    cache: str | None = None,
    force: bool = False,
    data: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """Write the lists of many users, or go on with a batch that was interrupted.

    Example:
        >>> batch = write_batch("runs/mine", "lists", k=100)                 # doctest: +SKIP
        >>> batch.lists().filter(pl.col("user_id") == "u1").collect()        # doctest: +SKIP

    Args:
        run: opened, or its folder.
        folder: of the batch; it is made, or gone on with where it holds the same batch.
        users: raw ids or index numbers, each once; all of the data set if left out.
        k: items a user, at most the catalogue.
        exclude_seen: as for :meth:`edgewise.recommender.Recommender.recommend`.
        allow: the same.
        deny: the same.
        filters: the same.
        users_per_shard: of every shard but the last.
        engine: ``local``, or ``ray`` (the extra ``ray``) for the machines of a Ray cluster, which
            must all see ``run``, its data and ``folder`` under these names.
        workers: processes; each opens the run. With one, ``local`` works in this process.
        cache: address of a service's store: events there count, and it gets the lists.
        force: replace a batch that is there.
        data: where the run's data set stands, if it has moved.
        on_progress: told (done, total) users.

    Raises:
        ConfigError: an option that cannot be, or another batch is in the folder.
        EdgewiseError: a process was ended from outside; what is written stays.
    """
    check(users_per_shard >= 1, f"users_per_shard = {users_per_shard}: must be 1 or more")
    check(workers >= 1, f"workers = {workers}: must be 1 or more")
    check(k >= 1, f"k = {k}: must be 1 or more")
    check(engine in ("local", "ray"), f"engine {engine!r}: choose local or ray")
    run = run if isinstance(run, Run) else open_run(run, data)
    run.require("sequential")
    model, folder = run.model, Path(folder)
    numbers = None if users is None else _distinct(model.user_index(users))
    listed = {n: [v] if isinstance(v, str) else sorted(v) for n, v in (filters or {}).items()}
    options = ShardOptions(
        str(run.folder),
        None if data is None else str(data),
        min(k, run.dataset.num_items),
        exclude_seen,
        _ids(run, allow),
        _ids(run, deny),
        listed or None,
        cache,
        run.weights,
    )
    model.hidden(options.allow, options.deny, options.filters)  # a wrong one is told at once
    about = _about(run, options, numbers, users_per_shard)
    total = run.dataset.num_users if numbers is None else len(numbers)
    num_shards = -(-total // users_per_shard)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        batch = _begun(folder, about, num_shards, force)
        batch.write()
        jobs = [
            (number, _users_of(numbers, total, number, users_per_shard))
            for number in range(num_shards)
            if number not in batch.shards
        ]
        done = _Progress(batch, total, on_progress)
        shards = _shards(run, options, folder, jobs, engine, workers, done.told_users)
        try:
            for number, shard in shards:
                done.add(number, shard)
        finally:
            shards.close()
            done.save()
        return done.batch


def read_batch(folder: str | Path) -> Batch:
    """Open a batch, finished or not.

    Example:
        >>> read_batch("lists").lists().head().collect()                     # doctest: +SKIP

    Raises:
        DataError: there is none, or its manifest is damaged or was edited.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder}: no batch ({MANIFEST} is missing); make one with "
            f"'edgewise batch RUN --out {folder}'"
        )
    values = read_json(path, DataError, _AGAIN, _BatchFile)
    if values["kind"] != KIND or values["version"] != _VERSION:
        raise DataError(f"{path} was not written by this version of edgewise; {_AGAIN}")
    check_fields(values, path, f"{_AGAIN[0].upper()}{_AGAIN[1:]}", DataError)
    shards = {_number(part["file"], path): Shard(**part) for part in values["shards"]}
    about = {name: values[name] for name in (*_CHECKED, "versions")}
    return Batch(folder, about, values["counts"]["shards"], shards)


def _number(name: str, path: Path) -> int:
    digits = name.removeprefix("part-").removesuffix(".parquet")
    valid = digits.isascii() and digits.isdecimal() and shard_name(int(digits)) == name
    if not valid:
        raise DataError(f"{path}: {name!r} is no shard; {_AGAIN}")
    return int(digits)


def _about(
    run: Run, options: ShardOptions, users: np.ndarray | None, users_per_shard: int
) -> dict[str, Any]:
    """What two commands must agree in to be about the same batch, and the versions."""
    dataset = run.dataset
    return {
        "model": {
            "version": model_version(run.folder),
            "method": run.spec.method_name,
            "sha256": file_checksum(run.folder / "model" / ABOUT),
            "fitted_on": run.spec.data.checksum,
        },
        "data": {"name": dataset.name, "checksum": dataset.checksum},
        "vocabularies": {
            "users_sha256": dataset.users.checksum,
            "items_sha256": dataset.items.checksum,
        },
        "settings": {
            "users": "all" if users is None else _told(users),
            "users_per_shard": users_per_shard,
            "k": options.k,
            "exclude_seen": options.exclude_seen,
            "allow": _told(options.allow),
            "deny": _told(options.deny),
            "filters": options.filters,
            "weights": options.weights,
            "cache": None if options.cache is None else _without_password(options.cache),
        },
        "versions": versions(),
    }


def _ids(run: Run, items: Items | None) -> tuple[str, ...] | None:
    """Raw ids of items, each once, in one order."""
    if items is None:
        return None
    names = run.dataset.items.ids
    return tuple(names[item] for item in np.unique(run.model.item_index(items)))


def _told(ids: np.ndarray | Sequence[str] | None) -> dict[str, Any] | None:
    """Many ids in short."""
    if ids is None:
        return None
    if isinstance(ids, np.ndarray):
        content = ids.astype("<i4").tobytes()
    else:
        content = json.dumps(list(ids)).encode()
    return {"count": len(ids), "sha256": hashlib.sha256(content).hexdigest()}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _distinct(users: np.ndarray) -> np.ndarray:
    """The users as ``int32``; refused where one is there twice."""
    values, counts = np.unique(users, return_counts=True)
    check(
        len(values) == len(users),
        f"users: {int((counts > 1).sum())} of them are there more than once; name each once",
    )
    return users.astype(np.int32)


def _users_of(users: np.ndarray | None, total: int, number: int, size: int) -> np.ndarray:
    start, stop = number * size, min((number + 1) * size, total)
    return np.arange(start, stop, dtype=np.int32) if users is None else users[start:stop]


# Beginning and going on


def _begun(folder: Path, about: dict[str, Any], num_shards: int, force: bool) -> Batch:
    """A new batch, or the one that is there with the shards that are as they were written."""
    new = Batch(folder, about, num_shards, {})
    if not is_taken(folder):
        folder.mkdir(exist_ok=True)
        return new
    check(
        (folder / MANIFEST).is_file(),
        f"{folder}: something else is there and stays; choose another folder",
    )
    if force:
        new.write()  # before anything goes: a folder of ours is always known as one
        _clear(folder, {})
        return new
    old = read_batch(folder)
    if other := _differences(old.about, about):
        raise ConfigError(
            f"{folder}: another batch is there, which differs in {', '.join(other)}; choose "
            "another folder, or replace it with --force"
        )
    whole = {n: shard for n, shard in old.shards.items() if not _fault(folder, shard)}
    _clear(folder, whole)
    return replace(new, shards=whole, kept=len(whole))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    told = json.loads(json.dumps({name: new[name] for name in _CHECKED}))
    return [
        f"{part}.{key} ({_shown(old[part].get(key))} there, {_shown(value)} asked)"
        for part in _CHECKED
        for key, value in told[part].items()
        if old[part].get(key) != value
    ]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "sha256" in value:
        return f"{value['count']:,} ids, {value['sha256'][:8]}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else json.dumps(value)


def _clear(folder: Path, kept: Mapping[int, Shard]) -> None:
    """Remove shards that the manifest does not name, and what kills have left."""
    names = {shard.file for shard in kept.values()}
    for path in folder.iterdir():
        if path.name.lstrip(".").startswith("part-") and path.name not in names:
            path.unlink(missing_ok=True)


def _fault(folder: Path, shard: Shard) -> str:
    path = folder / shard.file
    if not path.is_file():
        return f"{path} is missing"
    return "" if file_checksum(path) == shard.sha256 else f"{path} was truncated or altered"


class _Progress:
    """Keeps the manifest up to date, and tells how far the batch is."""

    def __init__(
        self, batch: Batch, total: int, on_progress: Callable[[int, int], None] | None
    ) -> None:
        self.batch, self.total, self._tell = batch, total, on_progress
        self.done = batch.counts["users"]
        self._part = 0
        self._saved = time.monotonic()

    def told_users(self, count: int) -> None:
        """Some users of the shard that is being written are done."""
        self._part += count
        if self._tell is not None:
            self._tell(self.done + self._part, self.total)

    def add(self, number: int, shard: Shard) -> None:
        self.batch = replace(self.batch, shards={**self.batch.shards, number: shard})
        self.done, self._part = self.done + shard.users, 0
        self.told_users(0)
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def save(self) -> None:
        self.batch.write()
        self._saved = time.monotonic()


# Engines


def _shards(
    run: Run,
    options: ShardOptions,
    folder: Path,
    jobs: Sequence[Job],
    engine: Engine,
    workers: int,
    told: Callable[[int], None],
) -> Generator[tuple[int, Shard], None, None]:
    """Shards by number, as they are finished."""
    if not jobs:
        return
    if engine == "ray":
        from edgewise.serving.batch_ray import shards_by_ray

        yield from shards_by_ray(options, folder, jobs, workers)
    elif workers == 1:
        writer = ShardWriter(options, folder, run)
        for number, users in jobs:
            yield number, writer.write(number, users, told)
    else:
        yield from _by_processes(options, folder, jobs, workers)


_writer: ShardWriter | None = None


def _by_processes(
    options: ShardOptions, folder: Path, jobs: Sequence[Job], workers: int
) -> Iterator[tuple[int, Shard]]:
    context, started = get_context("spawn"), (options, folder)
    with ProcessPoolExecutor(workers, context, _start, started) as pool:
        asked = {pool.submit(_write, *job): job[0] for job in jobs}
        try:
            for future in as_completed(asked):
                yield asked[future], future.result()
        except BrokenProcessPool:
            raise EdgewiseError(
                f"{folder}: a process that wrote shards was ended from outside (out of memory?); "
                "what is written stays: run the same command again, with fewer --workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start(options: ShardOptions, folder: Path) -> None:
    global _writer
    _writer = ShardWriter(options, folder)


def _write(number: int, users: np.ndarray) -> Shard:
    assert _writer is not None
    return _writer.write(number, users)
