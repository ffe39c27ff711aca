"""The client: each operation of a real service, what it sends again, and what it says."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

import uvicorn
from typer.testing import CliRunner

from edgewise.cli.client import app as client_app
from edgewise.cli.main import app
from edgewise.data.dataset import histories_of
from edgewise.errors import ConfigError
from edgewise.runs.run import Run, open_run
from edgewise.serving import client as client_module
from edgewise.serving.app import ServeSettings, create_app
from edgewise.serving.client import Client, ServiceError
from edgewise.serving.keys import new_key


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_WAIT", 0.001)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A file, a key for everything, and one for reading."""
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    return path, new_key(path, "owner", ["admin"]), new_key(path, "page", ["read"])


@pytest.fixture(scope="module")
def address(
    ease_run: Path, knn_run: Path, keys: tuple[Path, str, str], tmp_path_factory: Any
) -> Iterator[str]:
    """Of a service on a real socket."""
    store = tmp_path_factory.mktemp("store") / "store.db"
    settings = ServeSettings(
        (str(ease_run), str(knn_run)), str(store), keys=str(keys[0]), deadline_ms=60_000
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), port=0, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(address: str, keys: tuple[Path, str, str]) -> Iterator[Client]:
    with Client(address, keys[1], retries=0) as found:
        yield found


@pytest.fixture(scope="module")
def run(ease_run: Path) -> Run:
    return open_run(ease_run)


class TestOperations:
    def test_recommend(self, client: Client, run: Run):
        user = run.dataset.users.ids[3]
        answer = client.recommend(user, k=3, scenario="home")
        rows = histories_of(run.dataset.num_users, run.dataset.interactions)
        history = [run.dataset.items.ids[item] for item in rows[3]]
        expected = run.model.recommend_new([history], 3).to_frame()["item_id"].to_list()
        assert [item.item_id for item in answer.items] == expected
        first = answer.items[0].item_id
        assert first not in [item.item_id for item in client.recommend(user, deny=[first]).items]
        only = client.recommend(history=(first,), allow={first}, exclude_seen=False)
        assert [item.item_id for item in only.items] == [first]

    def test_recommend_batch_of_more_than_go_at_once(self, client: Client, run: Run):
        users = [run.dataset.users.ids[n % 40] for n in range(130)]
        answers = client.recommend_batch({"user_id": user, "k": 2} for user in users)
        assert len(answers) == 130
        for place in (0, 99, 100, 129):
            assert answers[place].items == client.recommend(users[place], k=2).items

    def test_rank_and_explain(self, client: Client, run: Run):
        user, items = run.dataset.users.ids[3], run.dataset.items.ids[:4]
        answer = client.rank(items, user)
        assert {item.item_id for item in answer.items} == set(items)
        assert client.explain(items[0], user).item_id == items[0]

    def test_similar(self, client: Client, run: Run):
        item = run.dataset.items.ids[5]
        found = client.similar(item, k=4)
        assert found.item.item_id == item and len(found.items) == 4

    def test_events_and_history(self, client: Client, run: Run):
        item = run.dataset.items.ids[5]
        assert client.add_event("somebody new", item, key="e1").accepted == 1
        assert client.add_event("somebody new", item, key="e1").repeated == 1
        assert client.add_events([{"user_id": "somebody new", "item_id": item}] * 2).accepted == 2
        found = client.history("somebody new")
        assert [each.item_id for each in found.items] == [item] * 3
        gone = client.forget("somebody new")
        assert (gone.user_id, gone.events) == ("somebody new", 3)

    def test_more_events_than_go_at_once(self, client: Client, run: Run):
        rows = [{"user_id": "many", "item_id": run.dataset.items.ids[n % 60]} for n in range(1001)]
        assert client.add_events(iter(rows)).accepted == 1001
        assert client.forget("many").events == 1001

    def test_models(self, client: Client):
        told = client.models()
        other = next(each.version for each in told.models if each.version != told.active)
        assert client.activate(other).active == other
        assert client.activate(told.active).active == told.active

    def test_operations(self, client: Client):
        assert client.healthy() and not Client("http://127.0.0.1:9").healthy()
        assert "edgewise" in client.metrics()

    @pytest.mark.parametrize("item", ["a/b", "..", ".", "a b?c#d%2Fe", "é", "x/similar", "a\\b"])
    def test_ids_of_all_kinds(self, client: Client, item: str):
        assert client.put_item(item, title="New", categories=("x",)).item_id == item
        assert client.add_event(item, item).accepted == 1
        assert [each.title for each in client.history(item).items] == ["New"]
        assert client.forget(item).user_id == item

    def test_every_operation_of_the_service_has_a_method(self, ease_run: Path, tmp_path: Path):
        methods = {
            "POST /v1/recommend": Client.recommend,
            "POST /v1/recommend:batch": Client.recommend_batch,
            "POST /v1/rank": Client.rank,
            "POST /v1/explain": Client.explain,
            "GET /v1/items/{item_id}/similar": Client.similar,
            "GET /v1/users/{user_id}/history": Client.history,
            "POST /v1/events": Client.add_events,
            "PUT /v1/items/{item_id}": Client.put_item,
            "DELETE /v1/users/{user_id}": Client.forget,
            "GET /v1/models": Client.models,
            "POST /v1/models/{version}:activate": Client.activate,
            "GET /health/ready": Client.healthy,
            "GET /metrics": Client.metrics,
        }
        gate = create_app(ServeSettings((str(ease_run),), str(tmp_path / "store.db")))
        document = gate.app.openapi()  # type: ignore[attr-defined]
        offered = {
            f"{method.upper()} {path.replace(':path}', '}')}": told
            for path, found in document["paths"].items()
            for method, told in found.items()
        }
        assert set(offered) - {"GET /health/live"} == set(methods)
        objects = document["components"]["schemas"]
        for name, method in methods.items():
            taken = set(inspect.signature(method).parameters)
            wanted = {each["name"] for each in offered[name].get("parameters", ())}
            sent = offered[name].get("requestBody", {}).get("content", {})
            body = sent.get("application/json", {}).get("schema", {}).get("$ref", "")
            wanted |= set(objects[body.rpartition("/")[2]]["properties"]) if body else set()
            assert wanted <= taken, name


class TestRefusals:
    def test_the_problem_is_told(self, client: Client):
        with pytest.raises(ServiceError, match="unknown item id 'nothing'") as error:
            client.similar("nothing")
        assert error.value.status == 404 and error.value.request_id
        with pytest.raises(ServiceError, match=r"^k: ") as error:
            client.recommend("u", k=0)
        assert error.value.status == 422

    def test_keys(self, address: str, keys: tuple[Path, str, str]):
        with pytest.raises(ServiceError, match="a key is wanted") as error:
            Client(address).models()
        assert error.value.status == 401
        reader = Client(address, keys[2])
        assert reader.models().active
        with pytest.raises(ServiceError) as error:
            reader.forget("u")
        assert error.value.status == 403
        assert keys[2] not in repr(reader)
        with pytest.raises(ConfigError, match="key has letters"):
            Client(address, "ключ")

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://x:port"])
    def test_addresses_that_are_none(self, url: str):
        with pytest.raises(ConfigError, match="address"):
            Client(url)

    def test_nobody_there(self):
        with pytest.raises(ServiceError, match=r"http://127.0.0.1:9: no answer") as error:
            Client("http://127.0.0.1:9", retries=1).models()
        assert error.value.status == 0


class TestCommands:
    @pytest.fixture
    def ask(self, address: str, keys: tuple[Path, str, str]) -> Any:
        """``ask(*words)``: what ``edgewise client`` prints."""
        environment = {"EDGEWISE_URL": address, "EDGEWISE_KEY": keys[1], "COLUMNS": "200"}

        def run(*words: str, status: int = 0) -> str:
            done = CliRunner().invoke(app, ["client", *words], env=environment)
            assert done.exit_code == status, done.output
            return done.output

        return run

    def test_lists(self, ask: Any, run: Run, client: Client):
        user, item = run.dataset.users.ids[3], run.dataset.items.ids[5]
        expected = [item.item_id for item in client.recommend(user, k=4).items]
        told = ask("recommend", "--user", user, "-k", "4")
        assert [word for word in told.split() if word.startswith("SKU")] == expected
        told = json.loads(ask("recommend", "--user", user, "-k", "4", "--json"))
        assert [item["item_id"] for item in told["items"]] == expected
        assert item in ask("rank", "--item", item, "--history", expected[0])
        assert ask("similar", "--item", item, "-k", "3").count("SKU-") == 3
        assert ask("explain", "--item", item, "--user", user).strip()
        assert "why" in ask("recommend", "--user", user, "--explain")

    def test_events_until_somebody_is_forgotten(self, ask: Any, run: Run):
        item = run.dataset.items.ids[5]
        event = ("event", "--user", "cli", "--item", item, "--event-key", "c1")
        assert ask(*event) == "written\n" and ask(*event) == "was known\n"
        assert item in ask("history", "--user", "cli")
        assert "1 events" in ask("forget", "--user", "cli")
        assert "nothing is known" in ask("history", "--user", "cli", status=2)

    def test_models(self, ask: Any, client: Client):
        active = client.models().active
        assert active in ask("models")
        assert json.loads(ask("activate", active, "--json"))["active"] == active

    def test_what_is_refused(self, ask: Any):
        assert "ATTRIBUTE=VALUE" in ask("recommend", "--user", "u", "--where", "brand", status=2)
        assert "k: " in ask("recommend", "--user", "u", "-k", "0", status=2)

    def test_every_help_has_examples(self, ask: Any):
        commands = [command.callback.__name__ for command in client_app.registered_commands]  # type: ignore[union-attr]
        assert len(commands) == 9
        for name in commands:
            assert f"edgewise client {name}" in ask(name, "--help").partition("Examples")[2]


@dataclass(eq=False)
class Script:
    """A service that does as it is told, one line a request: break, refuse, or answer.

    Attributes:
        lines: what is still to be done; then everything is answered.
        bodies: of all requests.
    """

    lines: list[str | tuple[int, dict[str, str]]]
    bodies: list[Any] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def scripted() -> Iterator[Any]:
    servers: list[ThreadingHTTPServer] = []

    def make(*lines: Any) -> Script:
        script = Script(list(lines))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                script.bodies.append(json.loads(body))
                line = script.lines.pop(0) if script.lines else "answer"
                if line == "break":
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
                status, headers = (200, {}) if isinstance(line, str) else line
                text = b'{"accepted": 1, "repeated": 0}'
                if status != 200:
                    text = b'{"error": "later", "request_id": "r1"}'
                if line == "nonsense":
                    text = b"<html>"
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *told: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        return script

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


EVENT = {"user_id": "u", "item_id": "i"}
LATER = (503, {"retry-after": "0"})


class TestSendingAgain:
    def test_a_broken_connection_and_a_busy_service(self, scripted: Any):
        script = scripted("break", LATER, "break")
        assert Client(script.url).add_events([EVENT]).accepted == 1
        assert len(script.bodies) == 4
        (key,) = {body["events"][0]["key"] for body in script.bodies}
        assert len(key) == 32
        assert Client(script.url).add_events([EVENT]).accepted == 1
        assert script.bodies[-1]["events"][0]["key"] != key

    def test_it_gives_up(self, scripted: Any):
        script = scripted(*[LATER] * 9)
        with pytest.raises(ServiceError, match=r"^later$") as error:
            Client(script.url, retries=2).add_events([EVENT])
        assert (error.value.status, error.value.request_id) == (503, "r1")
        assert len(script.bodies) == 3

    @pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
    def test_refusals_are_not_sent_again(self, scripted: Any, status: int):
        script = scripted((status, {}))
        with pytest.raises(ServiceError) as error:
            Client(script.url).add_events([EVENT])
        assert error.value.status == status and len(script.bodies) == 1

    def test_the_named_time_is_waited(self, scripted: Any, monkeypatch: pytest.MonkeyPatch):
        waits: list[float] = []
        monkeypatch.setattr(client_module.time, "sleep", waits.append)
        script = scripted((503, {"retry-after": "3"}), (429, {"retry-after": "99999"}))
        Client(script.url).add_events([EVENT])
        assert 2.4 <= waits[0] <= 3.6 and 8 <= waits[1] <= 12

    def test_an_answer_of_something_else(self, scripted: Any):
        with pytest.raises(ServiceError, match="not the answer of an edgewise service"):
            Client(scripted("nonsense").url).add_events([EVENT])
