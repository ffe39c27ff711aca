"""Two services that share a Redis, as two hosts do, and Redis's absence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("redis")

from tests.serving.conftest import Make
from tests.serving.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    found = RedisServer(tmp_path)
    yield found
    found.kill()


def test_what_one_host_was_told_the_other_knows(make_world: Make, server: RedisServer):
    here, there = make_world(store=server.url), make_world(store=server.url)
    user = here.run.dataset.users.ids[7]
    first = here.items(user_id=user, k=5)
    here.settle()
    assert there.post("/v1/recommend", user_id=user, k=5)["source"] == "cache"

    here.event(user, first[0], "e1")
    answer = there.post("/v1/recommend", user_id=user, k=5)
    assert answer["source"] == "model"
    expected = here.best([*here.history(user), first[0]], 5)
    assert [item["item_id"] for item in answer["items"]] == expected
    told = {"key": "e1", "user_id": user, "item_id": first[0]}
    assert there.post("/v1/events", events=[told]) == {"accepted": 0, "repeated": 1}

    there.client.put(f"/v1/items/{expected[0]}", json={"available": False})
    assert expected[0] not in here.items(user_id=user, k=5)

    assert here.client.delete(f"/v1/users/{user}").json()["events"] == 1
    assert there.client.get(f"/v1/users/{user}/history").status_code == 404


def test_without_redis_nothing_wrong_is_said(make_world: Make, server: RedisServer):
    world = make_world(store=server.url)
    user = world.run.dataset.users.ids[7]
    item = world.items(user_id=user, k=1)[0]
    event = {"key": "e1", "user_id": user, "item_id": item}
    server.kill()
    for route, body in (
        ("/v1/recommend", {"user_id": user}),
        ("/v1/rank", {"user_id": user, "candidates": [item]}),
        ("/v1/events", {"events": [event]}),
    ):
        answer = world.client.post(route, json=body)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1", route
        assert "the store cannot be used now" in answer.json()["error"]
    assert world.client.get("/health/live").status_code == 200
    assert world.client.get("/health/ready").status_code == 503
    server.start()
    assert world.post("/v1/events", events=[event]) == {"accepted": 1, "repeated": 0}
    assert item not in world.items(user_id=user, k=5)
