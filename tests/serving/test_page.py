"""What the page is made of and what it asks: addresses, searches, lists of any model, figures."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from edgewise.serving import map_maker
from edgewise.serving.keys import new_key
from edgewise.serving.operations import operations, quantile
from edgewise.serving.page import FILES

from .conftest import Make, World


def ids(found: list[dict]) -> list[str]:
    return [each["item_id"] for each in found]


def laid_out(world: World) -> dict:
    """The map, once it is there."""
    for _ in range(2400):
        told = world.client.get("/page-data/map").json()
        if told["state"] != "working":
            return told
        time.sleep(0.05)
    raise AssertionError("the map is never ready")


class Addresses(HTMLParser):
    """What a document loads, and what stands in it that a strict policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.forbidden: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name == "src" or (name == "href" and tag == "link"):
                self.loaded.append(value or "")
            if name == "style" or name.startswith("on"):
                self.forbidden.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.forbidden.append(self._inside)


# Files


def test_the_document_loads_only_its_own_files(world: World) -> None:
    answer = world.client.get("/")
    assert answer.status_code == 200
    document = Addresses(answer.text)
    assert document.forbidden == []
    assert len(document.loaded) >= 3
    for address in document.loaded:
        assert address.startswith("/page/")
        assert world.client.get(address).status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-cache"


def test_files_are_kept_for_good_under_an_address_that_changes_with_them(world: World) -> None:
    (script,) = re.findall(r'src="(/page/[0-9a-f]{16})/app.js"', world.client.get("/").text)
    for path in FILES.iterdir():
        if path.name == "index.html":
            continue
        answer = world.client.get(f"{script}/{path.name}")
        assert answer.content == path.read_bytes()
        assert "immutable" in answer.headers["cache-control"]
        again = {"if-none-match": answer.headers["etag"]}
        assert world.client.get(f"{script}/{path.name}", headers=again).status_code == 304
    assert world.client.get(f"{script}/other.js").status_code == 404
    assert world.client.get(f"{script}/..%2f__init__.py").status_code == 404
    assert world.client.get("/page/0000000000000000/app.js").status_code == 404


@pytest.mark.parametrize("path", sorted(FILES.glob("*.js")), ids=lambda path: path.name)
def test_scripts_write_no_markup_and_ask_no_other_host(path: Path) -> None:
    text = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"):
        assert word not in text
    assert re.findall(r"https?://", text) == []
    assert "Storage" not in text  # keys stay in memory


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES.iterdir()) < 100_000


def test_the_page_is_open_and_what_it_asks_is_not(make_world: Make, tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys.toml", "page", ["read"])
    world = make_world(keys=str(tmp_path / "keys.toml"))
    assert world.client.get("/").status_code == 200
    for route in ("shop", "users", "items", "map", "operations"):
        assert world.client.get(f"/page-data/{route}").status_code == 401
        allowed = {"authorization": f"Bearer {key}"}
        assert world.client.get(f"/page-data/{route}", headers=allowed).status_code == 200


# Searches


def test_the_shop_in_short(world: World) -> None:
    told = world.client.get("/page-data/shop").json()
    dataset = world.run.dataset
    assert (told["name"], told["users"], told["items"]) == ("demo", 50, 60)
    brands = {each["value"]: each["count"] for each in told["brands"]}
    assert brands == {b: dataset.catalog.brand.count(b) for b in set(dataset.catalog.brand)}
    names = [each["value"] for each in told["categories"]]
    assert "Demo Shop" not in names  # everything is of that one
    assert "Baking" in names


def test_users_by_a_part_of_their_id(world: World) -> None:
    found = world.client.get("/page-data/users", params={"q": "U000"}).json()["users"]
    assert [each["user_id"] for each in found] == sorted(
        each for each in world.run.dataset.users.ids if each.startswith("u000")
    )
    for each in found:
        assert each["items"] == len(world.history(each["user_id"]))
    assert world.client.get("/page-data/users", params={"q": "nobody"}).json() == {"users": []}


def test_anybody_has_a_history(world: World) -> None:
    for each in world.client.get("/page-data/users", params={"any": True}).json()["users"]:
        assert each["items"] >= 4


def test_forgotten_people_are_not_found(world: World, user: str) -> None:
    world.client.delete(f"/v1/users/{user}")
    assert world.client.get("/page-data/users", params={"q": user}).json() == {"users": []}


def test_items_by_words_of_their_titles(world: World) -> None:
    catalog = world.run.dataset.catalog
    wanted = catalog.title[11].split()
    words = f"{wanted[-1].upper()} {wanted[0]}"
    found = world.client.get("/page-data/items", params={"q": words}).json()["items"]
    for each in found:
        text = f"{each['title']} {each['brand']}".lower()
        assert all(word.lower() in text for word in words.split())
    assert world.run.dataset.items.ids[11] in ids(found)
    assert world.client.get("/page-data/items", params={"q": "no such"}).json()["items"] == []


def test_items_by_their_ids_and_as_they_are_now(world: World) -> None:
    some = list(world.run.dataset.items.ids[:3])
    world.client.put(f"/v1/items/{some[1]}", json={"title": "A new name"})
    found = world.client.get("/page-data/items", params={"id": [*some, "strange"]}).json()["items"]
    assert ids(found) == some
    assert found[1]["title"] == "A new name"
    by_name = world.client.get("/page-data/items", params={"q": "a new name"}).json()["items"]
    assert ids(by_name) == [some[1]]
    world.client.put("/v1/items/new", json={"title": "Quite another name"})
    newer = world.client.get("/page-data/items", params={"q": "another name"}).json()["items"]
    assert ids(newer) == ["new"]  # no model knows it yet


# A list of any model


def test_a_list_of_a_model_that_is_not_active(
    make_world: Make, ease_run: Path, knn_run: Path, tmp_path: Path
) -> None:
    world = make_world(ease_run, knn_run)
    other = make_world(knn_run, store=str(tmp_path / "other.db"))
    user = world.run.dataset.users.ids[7]
    versions = [each["version"] for each in world.client.get("/v1/models").json()["models"]]
    lists = [
        world.post("/page-data/recommend", user_id=user, model_version=version, k=8)
        for version in versions
    ]
    assert [each["model_version"] for each in lists] == versions
    history = world.history(user)
    assert ids(lists[0]["items"]) == world.best(history, 8)
    assert ids(lists[1]["items"]) == other.best(history, 8)
    assert lists[0]["items"] != lists[1]["items"]
    assert all(each["reasons"] for answer in lists for each in answer["items"])
    active = world.client.get("/v1/models").json()["active"]
    assert active == versions[0]


def test_such_a_list_leaves_out_what_is_dismissed_had_or_not_available(
    world: World, user: str
) -> None:
    version = world.client.get("/v1/models").json()["active"]
    asked = {"user_id": user, "model_version": version, "k": 6}
    first, second, third, *_ = ids(world.post("/page-data/recommend", **asked)["items"])
    world.event(user, first, "one", "dismiss")
    world.event(user, second, "two", "like")
    world.client.put(f"/v1/items/{third}", json={"available": False})
    then = ids(world.post("/page-data/recommend", **asked)["items"])
    assert not {first, second, third} & set(then)
    history = [*world.history(user), second]
    assert then == world.best(history, 6, deny=[first, third])


def test_a_list_of_a_history_and_of_nobody(world: World) -> None:
    version = world.client.get("/v1/models").json()["active"]
    history = list(world.run.dataset.items.ids[:3])
    told = world.post("/page-data/recommend", history=history, model_version=version, k=5)
    assert ids(told["items"]) == world.best(history, 5)
    cold = world.post("/page-data/recommend", history=[], model_version=version, k=5)
    assert cold["cold_user"]
    strange = world.client.post(
        "/page-data/recommend", json={"history": [], "model_version": "no-such"}
    )
    assert strange.status_code == 422
    assert "no-such" in strange.json()["error"]


def test_reasons_asked_apart_are_those_of_the_list(world: World, user: str) -> None:
    told = world.post("/v1/recommend", user_id=user, k=5, explain=True)["items"]
    asked = [*ids(told), "strange"]
    found = world.post("/page-data/reasons", user_id=user, items=asked)["reasons"]
    assert found == {each["item_id"]: each["reasons"] for each in told}
    assert world.post("/page-data/reasons", history=[], items=[])["reasons"] == {}


# The map


def test_the_map_of_all_items_is_made_once_and_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.run.folder / map_maker.FILE).unlink(missing_ok=True)
    told = laid_out(world)
    dataset = world.run.dataset
    assert told["state"] == "ready"
    assert told["version"] == world.service.shop.active.version
    assert set(told["ids"]) <= set(dataset.items.ids)
    assert len(told["ids"]) == len(told["x"]) == len(told["y"]) == len(told["group"])
    assert told["titles"] == [dataset.catalog.title[dataset.items.index_of(i)] for i in told["ids"]]
    for item, group in zip(told["ids"], told["group"], strict=True):
        # The first category is the same for all.
        path = dataset.catalog.categories[dataset.items.index_of(item)]
        assert told["groups"][group] == path[1]

    kept = map_maker.kept_map(world.service.shop.active)
    monkeypatch.setattr(map_maker, "item_map", lambda model: pytest.fail("made again"))
    again = map_maker.kept_map(world.service.shop.active)
    np.testing.assert_array_equal(again.places, kept.places)


def test_a_map_that_is_broken_or_of_another_model_is_made_anew(world: World) -> None:
    served = world.service.shop.active
    path = world.run.folder / map_maker.FILE
    whole = map_maker.kept_map(served)
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(map_maker.kept_map(served).places, whole.places)
    about = np.array(["other-version", "1"])
    np.savez(path, about=about, item_index=whole.item_index[:1], places=whole.places[:1])
    np.testing.assert_array_equal(map_maker.kept_map(served).places, whole.places)


def test_more_categories_than_colours() -> None:
    paths = [("all", f"kind {n // 2}") for n in range(24)] + [("all",)]
    groups, group = map_maker._grouped(paths)
    assert groups == [*(f"kind {n}" for n in range(9)), "others"]
    assert group == [min(n // 2, 9) for n in range(24)] + [9]


# Figures


def test_figures_count_what_was_asked(world: World, user: str) -> None:
    for _ in range(3):
        world.items(user_id=user)
        world.settle()
    item = world.run.dataset.items.ids[0]
    world.event(user, item, "one", "like")
    told = world.client.get("/page-data/operations").json()
    assert told["requests"] == 4
    assert told["lists"] == {"all": 3, "cache": 2, "model": 1, "fallback": 0}
    assert told["events"] == 1
    rows = {(row["route"], row["source"]): row["count"] for row in told["routes"]}
    assert rows == {
        ("/v1/recommend", "cache"): 2,
        ("/v1/recommend", "model"): 1,
        ("/v1/events", ""): 1,
    }
    assert 0 < told["latency"]["p50"] <= told["latency"]["p99"]


@pytest.mark.parametrize(
    "share, expected", [(0.25, 0.5), (0.5, 1.0), (0.75, 2.0), (0.9, 2.6), (1.0, 3.0)]
)
def test_quantiles_lie_evenly_within_their_buckets(share: float, expected: float) -> None:
    # Half of 20 requests took up to a second, the others 1 to 3 seconds.
    assert quantile({1.0: 10, 3.0: 20, float("inf"): 20}, share) == pytest.approx(expected)


def test_quantiles_of_no_requests_and_of_very_slow_ones() -> None:
    assert quantile({1.0: 0, float("inf"): 0}, 0.5) is None
    assert quantile({1.0: 0, float("inf"): 4}, 0.5) == 1.0  # nothing better is known


def test_figures_of_nothing() -> None:
    told = operations(b"", 0)
    assert (told["requests"], told["routes"], told["batch"]) == (0, [], None)
    assert told["latency"] == {"p50": None, "p99": None}
