"""The service on Ray Serve: started once, asked once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from edgewise.data.dataset import histories_of
from edgewise.errors import ConfigError
from edgewise.runs.run import open_run
from edgewise.serving.ray_app import RaySettings, app

# On a busy machine; Ray Serve kills a proxy that has not begun within 5 seconds, for good.
PATIENT = {f"RAY_SERVE_PROXY_{what}_CHECK_TIMEOUT_S": "120" for what in ("READY", "HEALTH")}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own


def test_settings_are_those_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = RaySettings.model_validate(
        {"runs": "a,/b", "store": "shop.db", "replicas": "3", "deadline_ms": "50", "keys": "k.toml"}
    ).to_serve()
    assert found.runs == (str(tmp_path / "a"), "/b") and found.store == str(tmp_path / "shop.db")
    assert (found.workers, found.deadline_ms, found.data) == (3, 50, None)
    assert found.keys == str(tmp_path / "k.toml")
    assert RaySettings(store="redis://h:1/0").to_serve().store == "redis://h:1/0"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "runs=FOLDER"),
        ({"runs": "a", "replicas": "0"}, "replicas: "),
        ({"run": "a"}, "run: .*settings are runs, models, "),
        ({"runs": "a", "threads": "many"}, "threads: "),
    ],
)
def test_settings_that_are_none(settings, told):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=told):
        app(settings)


def test_one_recommendation(ease_run: Path, tmp_path: Path):
    ray = pytest.importorskip("ray")
    serve = pytest.importorskip("ray.serve")
    from edgewise.serving.client import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.environ.get("PYTHONPATH", "")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **PATIENT}},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        settings = {"runs": str(ease_run), "store": str(tmp_path / "store.db")}
        serve.run(app({**settings, "deadline_ms": "60000"}))
        run = open_run(ease_run)
        user = run.dataset.users.ids[7]
        rows = histories_of(run.dataset.num_users, run.dataset.interactions)
        history = [run.dataset.items.ids[item] for item in rows[7]]
        with Client(f"http://127.0.0.1:{port}") as client:
            assert client.healthy()
            answer = client.recommend(user, k=5)
            assert answer.source == "model"
            expected = run.model.recommend_new([history], 5).to_frame()["item_id"].to_list()
            assert [item.item_id for item in answer.items] == expected
            client.add_event(user, expected[0])
            again = client.recommend(user, k=5)
            assert expected[0] not in [item.item_id for item in again.items]
    finally:
        serve.shutdown()
        ray.shutdown()
