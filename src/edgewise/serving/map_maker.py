"""The map of the items, laid out once for a model in the background, and kept with its run."""

from __future__ import annotations

import gzip
import os
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from edgewise.errors import LockedError
from edgewise.files import replacing
from edgewise.locks import locked
from edgewise.serving.item_map import ItemMap, item_map
from edgewise.serving.model import Served

FILE = "item-map.npz"
_LAYOUT = 1
"""Of the places: raised whenever :func:`~edgewise.serving.item_map.item_map` changes them."""
_NICE, _MOST_GROUPS = 15, 9


class MapMaker:
    """The maps of a worker, by model version."""

    def __init__(self) -> None:
        self._maps: dict[str, tuple[bytes, bytes]] = {}
        self._errors: dict[str, str] = {}
        self._working: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, served: Served, packed: bool):
        """``{state: ready, version, unit, ids, titles, x, y, groups, group}``, or what hinders it.

        ``unit`` says by what items are similar; ``x`` and ``y`` run from 0 to 1; ``group`` is a
        number of ``groups``, the names of categories. ``state`` is ``working`` before that, and
        ``failed`` with an ``error``.

        Args:
            served: the active model; the first question starts the work.
            packed: whether the asker reads gzip.
        """
        from fastapi.responses import JSONResponse, Response

        version = served.version
        with self._lock:
            ready, error = self._maps.get(version), self._errors.get(version)
            if ready is None and error is None and version not in self._working:
                self._working.add(version)
                threading.Thread(target=self._make, args=(served,), daemon=True).start()
        if error is not None:
            return JSONResponse({"state": "failed", "error": error})
        if ready is None:
            return JSONResponse({"state": "working"})
        headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if packed else {})
        return Response(ready[packed], media_type="application/json", headers=headers)

    def _make(self, served: Served) -> None:
        try:
            with suppress(OSError, AttributeError):  # answers go first
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            plain = _as_json(served, kept_map(served))
            self._maps[served.version] = plain, gzip.compress(plain, 6)
        except LockedError:
            pass  # another worker is at it: the next question looks whether it is done
        except Exception as error:
            self._errors[served.version] = f"the map could not be made: {error}"
        finally:
            self._working.discard(served.version)


def kept_map(served: Served) -> ItemMap:
    """The map in the run's folder, made and kept there where it can be.

    Raises:
        LockedError: another process is making it.
    """
    path = served.run.folder / FILE
    found = _read(path, served)
    if found is not None or not os.access(path.parent, os.W_OK):
        return found or item_map(served.opened.model)
    with locked(path):
        found = _read(path, served) or item_map(served.opened.model)
        with suppress(OSError), replacing(path) as partial, partial.open("wb") as file:
            about = np.array([served.version, str(_LAYOUT)])
            np.savez(file, about=about, item_index=found.item_index, places=found.places)
    return found


def _read(path: Path, served: Served) -> ItemMap | None:
    """A kept map, if it is of this model and whole."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if kept["about"].tolist() != [served.version, str(_LAYOUT)]:
                return None
            found = ItemMap(kept["item_index"], kept["places"])
    except Exception:  # a file of others may be broken in any way
        return None
    return found if found.fits(served.num_items) else None


def _as_json(served: Served, found: ItemMap) -> bytes:
    import orjson

    catalogue = served.catalogue
    items = [catalogue.item(catalogue.ids[number]) for number in found.item_index.tolist()]
    paths = [() if item is None else tuple(item.categories) for item in items]
    groups, group = _grouped(paths)
    places = np.round(found.places.astype(float), 4)
    return orjson.dumps(
        {
            "state": "ready",
            "version": served.version,
            "unit": served.run.model.similarity_unit,
            "ids": [catalogue.ids[number] for number in found.item_index.tolist()],
            "titles": ["" if item is None else item.title for item in items],
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
            "groups": groups,
            "group": group,
        }
    )


def _grouped(paths: list[tuple[str, ...]]) -> tuple[list[str], list[int]]:
    """Names of the first categories that differ, most frequent first, and each item's number."""
    depths = range(max(map(len, paths), default=0))
    names = [""] * len(paths)
    for depth in depths:
        names = [path[depth] if len(path) > depth else "" for path in paths]
        if len(set(names)) > 1:
            break
    most = [name for name, _ in Counter(filter(None, names)).most_common(_MOST_GROUPS)]
    number = {name: place for place, name in enumerate(most)}
    group = [number.get(name, len(most)) for name in names]
    return ([*most, "others"] if len(most) in group else most), group
