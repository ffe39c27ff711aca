"""The door: keys, limits, ids of requests, the log, and refusals that are all alike."""

from __future__ import annotations

import json
import logging

import pytest
from tests.serving.conftest import Make, World, worlds

from edgewise.errors import ConfigError
from edgewise.serving.gate import scope_of
from edgewise.serving.keys import Bucket, Keys, new_key
from edgewise.serving.schemas import Problem


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A file of keys, and the keys by name."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    wanted = {"shop": ["read"], "log": ["events"], "owner": ["admin"]}
    return path, {name: new_key(path, name, scopes) for name, scopes in wanted.items()}


@pytest.fixture(scope="module")
def guarded(keys, ease_run, tmp_path_factory):
    """Asks a service with these keys."""
    with worlds(ease_run, tmp_path_factory.mktemp("guarded")) as make:
        yield make(keys=str(keys[0])).client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class TestKeys:
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/v1/recommend", {"shop", "owner"}),
            ("POST", "/v1/recommend:batch", {"shop", "owner"}),
            ("GET", "/v1/users/u/history", {"shop", "owner"}),
            ("GET", "/v1/models", {"shop", "owner"}),
            ("GET", "/metrics", {"shop", "owner"}),
            ("GET", "/v1/nothing", {"shop", "owner"}),
            ("POST", "/v1/events", {"log", "owner"}),
            ("PUT", "/v1/items/i", {"owner"}),
            ("DELETE", "/v1/users/u", {"owner"}),
            ("POST", "/v1/models/none:activate", {"owner"}),
            ("GET", "/health/live", {"shop", "log", "owner", "nobody"}),
            ("GET", "/docs", {"shop", "log", "owner", "nobody"}),
            ("GET", "/openapi.json", {"shop", "log", "owner", "nobody"}),
        ],
    )
    def test_scopes(self, guarded, keys, method, path, allowed):
        client, (_, known) = guarded, keys
        body = {"json": {}} if method in ("POST", "PUT") else {}
        for name, key in {**known, "nobody": "wrong"}.items():
            for headers in (bearer(key), {"x-api-key": key}):
                status = client.request(method, path, headers=headers, **body).status_code
                refused = 401 if name == "nobody" else 403
                assert (status == refused) == (name not in allowed), (name, status)
        without = client.request(method, path, **body)
        assert (without.status_code == 401) == ("nobody" not in allowed)

    def test_what_a_key_is_for_by_default(self):
        assert scope_of("GET", "/v1/anything") == "read"
        assert scope_of("PATCH", "/v1/anything") == "admin"
        assert scope_of("GET", "/") is None

    def test_the_file_has_no_key(self, keys):
        path, known = keys
        text = path.read_text()
        assert all(key not in text for key in known.values())
        assert path.stat().st_mode & 0o777 == 0o600
        found = Keys.read(path)
        assert {name: found.find(key).name for name, key in known.items()} == {  # type: ignore[union-attr]
            name: name for name in known
        }
        assert found.find(None) is None and found.find("") is None

    def test_names_and_scopes_are_checked(self, tmp_path):
        path = tmp_path / "keys.toml"
        new_key(path, "shop", ["read"])
        with pytest.raises(ConfigError, match="has a key of the name 'shop'"):
            new_key(path, "shop", ["read"])
        with pytest.raises(ConfigError, match="--scope write"):
            new_key(path, "other", ["write"])
        path.write_text('[[keys]]\nname = "x"\nsha256 = "short"\nscopes = ["read"]\n')
        with pytest.raises(ConfigError, match=r"keys.0.sha256"):
            Keys.read(path)

    def test_rates(self, make_world: Make, tmp_path):
        file = tmp_path / "keys.toml"
        slow, fast = new_key(file, "slow", ["read"], rate=2), new_key(file, "fast", ["read"])
        client = make_world(keys=str(file)).client
        asked = [client.get("/v1/models", headers=bearer(slow)) for _ in range(6)]
        assert [each.status_code for each in asked][:4] == [200] * 4
        assert asked[5].status_code == 429 and int(asked[5].headers["retry-after"]) >= 1
        assert client.get("/v1/models", headers=bearer(fast)).status_code == 200

    def test_a_bucket_fills(self, monkeypatch):
        now = [100.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        bucket = Bucket(2)
        assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0]
        assert bucket.take() == pytest.approx(0.5)
        now[0] += 0.5
        assert bucket.take() == 0 and bucket.take() > 0
        now[0] += 60
        assert [bucket.take() == 0 for _ in range(5)] == [True] * 4 + [False]


class TestWithoutKeys:
    @pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
    def test_this_machine_may_ask(self, lasting_world: World, host):
        assert lasting_world.client.get("/v1/models", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", ""])
    def test_others_may_not(self, lasting_world: World, host):
        assert lasting_world.client.get("/v1/models", headers={"host": host}).status_code == 403

    def test_pages_of_others_may_not(self, world: World):
        version = world.service.shop.active.version
        path = f"/v1/models/{version}:activate"
        headers = {"origin": "https://evil.example"}
        assert world.client.post(path, headers=headers).status_code == 403
        own = {"origin": "http://127.0.0.1", "host": "127.0.0.1"}
        assert world.client.post(path, headers=own).status_code == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "more", "status", "words"),
        [
            ("GET", "/nothing", {}, 404, "no such route"),
            ("GET", "/v1/recommend", {}, 405, "other methods"),
            ("TRACE", "/v1/models", {}, 405, "other methods"),
            ("POST", "/v1/recommend", {"json": {}}, 422, "give user_id, or history"),
            ("POST", "/v1/recommend", {"json": {"user_id": "u", "k": 0}}, 422, "k: "),
            ("POST", "/v1/recommend", {"json": {"user_id": "u", "size": 5}}, 422, "size: "),
            ("POST", "/v1/recommend", {"json": {"user_id": "u", "k": 201}}, 422, "200"),
            ("POST", "/v1/recommend", {"json": {"history": ["i"] * 501}}, 422, "500"),
            ("POST", "/v1/recommend", {"json": {"history": ["none"]}}, 422, "'none'"),
            (
                *("POST", "/v1/recommend", {"json": {"user_id": "u", "filters": {"brnad": ["x"]}}}),
                *(422, "brand"),
            ),
            ("POST", "/v1/rank", {"json": {"user_id": "u", "candidates": []}}, 422, "candidates"),
            ("POST", "/v1/rank", {"json": {"user_id": "u", "candidates": ["x"]}}, 422, "'x'"),
            ("POST", "/v1/explain", {"json": {"history": [], "item_id": "x"}}, 422, "'x'"),
            ("POST", "/v1/recommend", {"content": b"{"}, 415, "Content-Type"),
            ("POST", "/v1/rank", {"content": b"user_id=u"}, 415, "Content-Type"),
            ("GET", "/v1/users/none/history", {}, 404, "'none'"),
            ("GET", "/v1/items/x/similar?k=a", {}, 422, "k: "),
            ("POST", "/v1/models/none:activate", {}, 404, "'none'"),
            ("PUT", "/v1/items/" + "x" * 201, {"json": {}}, 422, "item_id"),
        ],
    )
    def test_all_are_problems(self, lasting_world: World, method, path, more, status, words):
        answer = lasting_world.client.request(method, path, **more)
        assert answer.status_code == status, answer.text
        problem = Problem.model_validate_json(answer.content)
        assert words in problem.error
        assert problem.request_id == answer.headers["x-request-id"]

    @pytest.mark.parametrize("path", ["/v1/recommend", "/v1/rank"])
    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"user_id": "\\ud800"}', b"1" * 99])
    def test_bodies_that_are_none(self, lasting_world: World, path, body):
        headers = {"content-type": "application/json"}
        answer = lasting_world.client.post(path, content=body, headers=headers)
        assert answer.status_code == 422
        Problem.model_validate_json(answer.content)

    def test_bodies_that_are_too_large(self, make_world: Make):
        client = make_world(max_body=1000).client
        for body in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
            answer = client.post("/v1/recommend", content=body)
            assert answer.status_code == 413 and "1,000 bytes" in answer.json()["error"]

    def test_defects(self, world: World, monkeypatch, caplog):
        def fails(*asked):
            raise RuntimeError("a mistake")

        monkeypatch.setattr(world.service.shop, "look_up", fails)
        logger = logging.getLogger("edgewise.serving")
        monkeypatch.setattr(logger, "propagate", True)
        for path in ("/v1/recommend", "/v1/rank"):
            told = {"user_id": "u", "candidates": ["x"]} if path == "/v1/rank" else {"user_id": "u"}
            answer = world.client.post(path, json=told)
            assert answer.status_code == 500 and "a mistake" not in answer.text
            Problem.model_validate_json(answer.content)
        assert caplog.text.count("a mistake") >= 2

    def test_while_it_starts_or_ends(self, world: World):
        world.client.app.app.state.service = None  # type: ignore[attr-defined]
        answer = world.client.get("/health/ready")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert world.client.get("/health/live").status_code == 200
        asked = world.client.post("/v1/recommend", json={"user_id": "u"})
        assert asked.status_code == 503


class TestLog:
    def test_a_line_a_request(self, make_world: Make, tmp_path, capfdbinary, monkeypatch):
        file = tmp_path / "keys.toml"
        key = new_key(file, "shop", ["admin"])
        world = make_world(keys=str(file))
        monkeypatch.setattr(logging.getLogger("edgewise.serving"), "level", logging.INFO)
        logging.getLogger("edgewise.serving")._cache.clear()  # type: ignore[attr-defined]
        user = world.run.dataset.users.ids[0]
        headers = bearer(key) | {"x-request-id": "mine-1"}
        asked = {"user_id": user, "scenario": "home"}
        told = world.client.post("/v1/recommend", json=asked, headers=headers)
        assert told.headers["x-request-id"] == "mine-1"
        world.client.get(f"/v1/users/{user}/history", headers=bearer(key))
        world.client.delete(f"/v1/users/{user}", headers=bearer(key))
        logging.getLogger("edgewise.serving")._cache.clear()  # type: ignore[attr-defined]
        text = capfdbinary.readouterr().err
        lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
        first = next(line for line in lines if line["route"] == "/v1/recommend")
        assert first["request_id"] == "mine-1" and first["status"] == 200
        assert first["recommendation_id"] == told.json()["recommendation_id"]
        assert (first["source"], first["scenario"], first["key"]) == ("model", "home", "shop")
        assert {line["route"] for line in lines} == {
            *("/v1/recommend", "/v1/users/{user_id:path}/history", "/v1/users/{user_id:path}")
        }
        assert user.encode() not in text and key.encode() not in text

    @pytest.mark.parametrize("given", ["", "a b", "x" * 101, "a\tb"])
    def test_request_ids_that_are_none(self, lasting_world: World, given):
        found = lasting_world.client.get("/health/live", headers={"x-request-id": given})
        assert found.headers["x-request-id"] not in ("", given)


def test_what_is_counted(world: World, user: str):
    world.items(user_id=user)
    world.settle()
    world.items(user_id=user)
    world.event(user, world.run.dataset.items.ids[0], "k")
    world.client.get("/nothing")
    lines = world.client.get("/metrics").text.splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    route = 'edgewise_request_seconds_count{route="%s",source="%s",status="%s"}'
    assert counted[route % ("/v1/recommend", "model", 200)] == "1.0"
    assert counted[route % ("/v1/recommend", "cache", 200)] == "1.0"
    assert counted[route % ("other", "", 404)] == "1.0"
    assert counted["edgewise_batch_size_count"] == "1.0"
    assert counted['edgewise_events_total{kind="purchase"}'] == "1.0"
    assert counted["edgewise_models_loaded"] == "1.0" and counted["edgewise_queue"] == "0.0"


def test_the_document_has_everything(world: World):
    document = world.client.get("/openapi.json").json()
    routes = {(m.upper(), path) for path, found in document["paths"].items() for m in found}
    assert ("POST", "/v1/recommend") in routes and len(routes) == 14
    assert "examples" in document["components"]["schemas"]["RecommendRequest"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for found in document["paths"].values():
        for told in found.values():
            schema = told["responses"]["422"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith("/Problem")
    page = world.client.get("/docs")
    assert "POST /v1/recommend" in page.text and "https://" not in page.text
