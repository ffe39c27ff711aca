"""The shop that a worker serves: its models by version, its store, and people as models see them.

:class:`Shop` is what pages and other parts of a service are handed. They may read:

- ``shop.store``: events, lists and items, see :class:`edgewise.serving.store.Store`;
- ``shop.active``: the :class:`~edgewise.serving.model.Served` that answers now, with its
  ``version``, ``run`` (``run.model``, ``run.dataset``), ``histories`` and ``catalogue``;
  ``shop.current()`` is the same, checked against the store, as every answer must be;
- ``shop.loaded``: all that are in memory, by version; ``shop.versions()``: all that could be, and
  ``shop.load(version)`` to have one, which takes seconds and belongs into a thread;
- ``shop.taste(served, user_id)``: somebody's history and hidden items by one of these models.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.config import check
from edgewise.errors import DataError, EdgewiseError, UnknownIdError
from edgewise.runs.run import FINISHED, check_weights, is_run, read_info
from edgewise.serving.catalogue import Catalogue
from edgewise.serving.event_log import had_and_dismissed, new_events
from edgewise.serving.model import Ranking, Served, Taste, with_new_items
from edgewise.serving.schemas import ModelInfo
from edgewise.serving.store import Lookup, Person, Store
from edgewise.serving.version import model_version

_KEPT_LISTS = 10_000
_KEPT_MODELS = 2


class NotLoadedError(Exception):
    """The active version is not in this worker's memory yet."""


@dataclass(frozen=True)
class RunFolders:
    """Where versions are found.

    Attributes:
        runs: run folders; the first one answers where nothing else was activated.
        models: a folder of run folders, looked through whenever versions are asked for.
        data: where the data set of all of them stands now, if it has moved.
        weights: that all of them answer with, see :func:`edgewise.runs.run.open_run`.
    """

    runs: Sequence[Path]
    models: Path | None = None
    data: Path | None = None
    weights: str | None = None

    def find(self) -> dict[str, Path]:
        """Finished runs by version, the first one first; others are passed over.

        Raises:
            ModelFolderError: one of :attr:`runs` is no finished run.
        """
        found = {model_version(folder): folder for folder in self.runs}
        if self.models is not None and self.models.is_dir():
            for folder in sorted(self.models.iterdir()):
                if folder.is_dir() and is_run(folder):
                    try:
                        if read_info(folder).status == FINISHED:
                            found.setdefault(model_version(folder), folder)
                    except EdgewiseError:
                        continue
        check(bool(found), f"{self.models}: no finished run is there; name one: edgewise serve RUN")
        return found

    def check_data(self) -> None:
        """Refuse a first run whose data set is not there, before anything is loaded.

        Raises:
            ModelFolderError, ConfigError: see :meth:`find`; it has no such weights.
            DataError: names the data set that is missing.
        """
        folder = next(iter(self.find().values()))
        spec = read_info(folder).spec
        if self.weights is not None:
            check_weights(spec, self.weights)
        place = self.data or Path(spec.data.folder)
        if not place.exists():
            raise DataError(
                f"{place}: the data set of {folder} is not there; say where it is with --data"
            )


class Shop:
    """See the module; answers are read from it by one thread, models may be loaded by another.

    Args:
        folders: of the runs.
        store: opened.
    """

    def __init__(self, folders: RunFolders, store: Store) -> None:
        self.folders = folders
        self.store = store
        self.loaded: dict[str, Served] = {}
        self._lists: OrderedDict[tuple[str, str], tuple[int, Ranking]] = OrderedDict()
        self._loading = threading.Lock()
        versions = self.versions()
        active = store.begin(next(iter(versions)), list(versions))
        self.active = self.load(active)

    def __repr__(self) -> str:
        return f"Shop(active={self.active.version!r}, loaded={list(self.loaded)})"

    # Versions

    def versions(self) -> dict[str, Path]:
        """All run folders by version, looked for anew."""
        return self.folders.find()

    def load(self, version: str) -> Served:
        """A version, read into memory unless it is there; the oldest of others may leave it.

        Raises:
            UnknownIdError: there is no such version.
            EdgewiseError: its run cannot be used.
        """
        with self._loading:
            if version in self.loaded:
                return self.loaded[version]
            versions = self.versions()
            if version not in versions:
                raise self.unknown(version, versions)
            served = Served.load(versions[version], self.folders.data, self.folders.weights)
            self.renew(served.catalogue)
            self.loaded = {**self.loaded, version: served}
            return served

    @property
    def has_grown(self) -> bool:
        """Whether there are new items that the active model has not been told of."""
        return bool(self.active.catalogue.added)

    def grow(self) -> None:
        """Tell the active model of all new items, beside the one that answers; takes seconds."""
        with self._loading:
            served = self.active
            told = Catalogue(served.opened.dataset)
            self.renew(told)
            grown = with_new_items(served, list(told.added.values()))
            self.renew(grown.catalogue)
            self.loaded = {**self.loaded, served.version: grown}
        self.delete_old_lists([served.version])

    def delete_old_lists(self, keep: Sequence[str]) -> None:
        """Delete lists of versions that are neither loaded nor among some."""
        self.store.delete_lists([*keep, *(served.key for served in self.loaded.values())])

    def describe(self, active: str, wanted: str | None) -> list[ModelInfo]:
        """Every version, by what ``run.json`` says of it."""
        found: list[ModelInfo] = []
        folders = self.versions()
        for version in [*folders, *(each for each in self.loaded if each not in folders)]:
            served = self.loaded.get(version)
            folder = folders[version] if served is None else served.run.folder
            state = "ready" if served else "loading" if version == wanted else "available"
            spec = read_info(folder).spec if served is None else served.run.spec
            found.append(
                ModelInfo(
                    version=version,
                    method=spec.method_name,
                    data=spec.data.name,
                    run=str(folder),
                    state="active" if version == active else state,
                    trained_rows=0 if served is None else len(served.run.split.train),
                )
            )
        return found

    def unknown(self, version: str, versions: Iterable[str]) -> UnknownIdError:
        """What is said of a version that there is not."""
        return UnknownIdError(f"unknown model version {version!r}: there are {', '.join(versions)}")

    def unload(self, active: str | None) -> None:
        """Let the oldest versions go that do not answer, so that two are left.

        Args:
            active: by the store; no request may have told this worker yet.
        """
        spare = [each for each in self.loaded if each not in (active, self.active.version)]
        gone = spare[: max(0, len(spare) - (_KEPT_MODELS - 1))]
        if gone:
            self.loaded = {v: served for v, served in self.loaded.items() if v not in gone}

    def current(self) -> Served:
        """The model that answers by now, knowing all items.

        Raises:
            NotLoadedError: another worker's switch was faster than this worker.
        """
        return self.look_up("")[0]

    def look_up(self, user_id: str) -> tuple[Served, Lookup, Ranking | None]:
        """The model that answers by now, what the store knows of somebody, and their stored list.

        Raises:
            NotLoadedError: see :meth:`current`.
        """
        served = self.active = self.loaded.get(self.active.version, self.active)
        found, ranking = self._look_up(served, user_id)
        if found.active != served.version:
            if found.active not in self.loaded:
                raise NotLoadedError(found.active)
            served = self.active = self.loaded[found.active]
            found, ranking = self._look_up(served, user_id)
            if found.active != served.version:
                raise NotLoadedError(found.active)
        if found.items != served.catalogue.place:
            self.renew(served.catalogue)
        return served, found, ranking

    def _look_up(self, served: Served, user_id: str) -> tuple[Lookup, Ranking | None]:
        key = served.key, user_id
        seen, ranking = self._lists.get(key, (None, None))
        found = self.store.look_up(user_id, served.key, seen)
        if found.list is not None:
            ranking = _by_index(served.catalogue, found.list.items)
            self._keep(key, found.seen, ranking)
        elif seen != found.seen:
            self._lists.pop(key, None)
            ranking = None
        return found, ranking

    def keep(self, served: Served, user_id: str, seen: int, ranking: Ranking) -> None:
        """Remember a list in this worker; the store is told by whoever worked it out."""
        self._keep((served.key, user_id), seen, ranking)

    def _keep(self, key: tuple[str, str], seen: int, ranking: Ranking) -> None:
        items, scores = ranking
        self._lists[key] = seen, (array("i", items), array("d", scores))
        self._lists.move_to_end(key)
        if len(self._lists) > _KEPT_LISTS:
            self._lists.popitem(last=False)

    def drop_lists(self, user_id: str) -> None:
        """Keep none of a person's lists in this worker's memory."""
        for served in self.loaded.values():
            self._lists.pop((served.key, user_id), None)

    def renew(self, catalogue: Catalogue) -> None:
        """Join in what the store knows of items by now."""
        catalogue.apply(self.store.items_after(catalogue.place))

    # People

    def taste(self, served: Served, user_id: str) -> tuple[Taste, Person]:
        """Somebody by what the data set and their events tell; nothing of who was forgotten."""
        person = self.store.person(user_id)
        user = -1 if person.forgotten else served.user_index(user_id)
        known = served.histories[user] if user >= 0 else np.empty(0, np.int32)
        return _taste(served, user, known, person), person

    def taste_of(self, served: Served, history: Sequence[str], user_id: str | None) -> Taste:
        """Somebody by a history; what they dismissed or had, if they are named, stays hidden.

        Raises:
            UnknownIdError: nobody has heard of an item.
        """
        for item in history:
            if item not in served.catalogue:
                raise UnknownIdError(
                    f"history: unknown item id {item!r}: tell what it is by PUT /v1/items first"
                )
        index = served.catalogue.index
        known = np.array([index[item] for item in history if item in index], dtype=np.int32)
        if user_id is None:
            nothing = np.empty(0, np.int32)
            return Taste(-1, known, nothing, nothing)
        named = _taste(served, -1, np.empty(0, np.int32), self.store.person(user_id))
        return Taste(-1, known, named.hidden, named.events)


def _taste(served: Served, user: int, known: np.ndarray, person: Person) -> Taste:
    events = new_events(person.events, served.run.dataset, served.histories, user)
    items, dismissed = had_and_dismissed(events, served.catalogue.index.get)
    return Taste(
        user, np.concatenate([known, items]), dismissed, np.concatenate([items, dismissed])
    )


def _by_index(catalogue: Catalogue, items: Sequence[tuple[str, float]]) -> Ranking:
    """A stored list; items that the catalogue has lost are left out."""
    known = [(catalogue.index[item], score) for item, score in items if item in catalogue.index]
    return [item for item, _ in known], [score for _, score in known]
