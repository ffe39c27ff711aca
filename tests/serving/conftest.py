"""A small shop, two runs on it, and services of these; runs stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from edgewise.data.dataset import histories_of
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.registry import find_method
from edgewise.runs.run import Run, open_run
from edgewise.runs.spec import DataInfo, RunSpec, resolve_config
from edgewise.runs.train import train
from edgewise.serving.app import ServeSettings, create_app, service_of
from edgewise.serving.service import Service

LOCAL = "http://127.0.0.1"


def fit(method: str, data: Path, out: Path, seed: int = 0) -> Path:
    """A run of a method that learns in no time."""
    from edgewise.data.dataset import Dataset

    dataset = Dataset.load(data)
    config = resolve_config(find_method(method), "tiny", {"seed": seed})
    train(RunSpec(method, config, DataInfo.of(dataset, data)), out, dataset=dataset)
    return out


@pytest.fixture(scope="session")
def shop_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with 50 users and 60 items."""
    folder = tmp_path_factory.mktemp("serving") / "data"
    make_demo_shop(3, num_users=50, num_items=60).save(folder)
    return folder


@pytest.fixture(scope="session")
def ease_run(shop_data: Path) -> Path:
    return fit("ease", shop_data, shop_data.parent / "ease")


@pytest.fixture(scope="session")
def knn_run(shop_data: Path) -> Path:
    return fit("item-knn", shop_data, shop_data.parent / "item-knn")


@dataclass(frozen=True, eq=False)
class World:
    """A service, and what its answers are checked by.

    Attributes:
        client: asks the service.
        run: the first one, opened beside it.
        service: behind the client.
    """

    client: TestClient
    run: Run
    service: Service

    def history(self, user: str) -> list[str]:
        """By the data set, oldest first."""
        dataset = self.run.dataset
        rows = histories_of(dataset.num_users, dataset.interactions)
        return [dataset.items.ids[item] for item in rows[dataset.users.index_of(user)]]

    def best(self, history: list[str], k: int = 10, **more: Any) -> list[str]:
        """What the model itself lists for a history."""
        return self.run.model.recommend_new([history], k, **more).to_frame()["item_id"].to_list()

    def post(self, route: str, /, **body: Any) -> Any:
        """The answer to a request that is in order."""
        answer = self.client.post(route, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def items(self, **body: Any) -> list[str]:
        """Ids of a recommendation."""
        return [item["item_id"] for item in self.post("/v1/recommend", **body)["items"]]

    def event(self, user: str, item: str, key: str, kind: str = "purchase", **more: Any) -> Any:
        told = {"key": key, "user_id": user, "item_id": item, "kind": kind, **more}
        return self.post("/v1/events", events=[told])

    def settle(self) -> None:
        """Wait until lists that were worked out are in the store."""
        self.service._writer.submit(lambda: None).result()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers tell that they live every few milliseconds."""
    monkeypatch.setattr("edgewise.serving.switch._BEAT_SECONDS", 0.02)
    monkeypatch.setattr("edgewise.serving.switch._LOOK_SECONDS", 0.01)


Make = Callable[..., World]


@contextmanager
def worlds(ease_run: Path, folder: Path) -> Iterator[Make]:
    """Makes services of one store, which end together."""
    with ExitStack() as stack:

        def make(*runs: Path, **more: Any) -> World:
            folders = runs or (ease_run,)
            told = {"store": str(folder / "store.db"), "deadline_ms": 60_000, **more}
            gate = create_app(ServeSettings(tuple(map(str, folders)), **told))
            client = stack.enter_context(TestClient(gate, base_url=LOCAL))
            return World(client, open_run(folders[0]), service_of(gate.app))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def make_world(ease_run: Path, tmp_path: Path) -> Iterator[Make]:
    """``make_world(*runs, **settings)``; the run of EASE if none is named."""
    with worlds(ease_run, tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def lasting_world(ease_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One service for all tests of a module, which leave it as it is."""
    with worlds(ease_run, tmp_path_factory.mktemp("lasting")) as make:
        yield make()


@pytest.fixture
def world(make_world: Make) -> World:
    return make_world()


@pytest.fixture
def user(world: World) -> str:
    """Somebody with a history."""
    return world.run.dataset.users.ids[7]


def popular(run: Run) -> list[str]:
    """All items by falling train rows."""
    scores = run.model.cold_scores()
    return [run.dataset.items.ids[item] for item in np.argsort(-scores)]
