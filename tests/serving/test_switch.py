"""Another model for all workers at one moment, or for none; questions asked together."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time

import pytest
from tests.serving.conftest import Make, World

from edgewise.errors import ConfigError, ModelFolderError
from edgewise.runs.run import open_run
from edgewise.serving.shop import RunFolders
from edgewise.serving.version import model_version


def versions(world: World) -> dict[str, str]:
    """States by method."""
    answer = world.client.get("/v1/models").json()
    assert [m["version"] for m in answer["models"] if m["state"] == "active"] == [answer["active"]]
    return {model["method"]: model["state"] for model in answer["models"]}


def activate(world: World, folder) -> dict:
    answer = world.client.post(f"/v1/models/{model_version(folder)}:activate")
    return {"status": answer.status_code, **answer.json()}


def test_all_workers_answer_by_the_new_one(make_world: Make, ease_run, knn_run):
    workers = [make_world(ease_run, knn_run) for _ in range(2)]
    user = workers[0].run.dataset.users.ids[7]
    history, new = workers[0].history(user), open_run(knn_run).model
    before = workers[0].best(history)
    after = new.recommend_new([history], 10).to_frame()["item_id"].to_list()
    assert before != after
    for _ in range(2):  # by the model, then stored
        assert [world.items(user_id=user) for world in workers] == [before, before]
        workers[0].settle()
    assert versions(workers[0]) == {"ease": "active", "item-knn": "available"}
    assert activate(workers[0], knn_run)["active"] == model_version(knn_run)
    for world in reversed(workers):
        answer = world.post("/v1/recommend", user_id=user)
        assert [item["item_id"] for item in answer["items"]] == after
        assert answer["model_version"] == model_version(knn_run)
    assert versions(workers[1]) == {"ease": "ready", "item-knn": "active"}
    assert activate(workers[1], ease_run)["status"] == 200  # and back
    assert [world.items(user_id=user) for world in workers] == [before, before]
    assert activate(workers[1], ease_run)["status"] == 200  # is active: nothing to do


def test_a_restarted_service_goes_on_with_it(make_world: Make, ease_run, knn_run):
    assert activate(make_world(ease_run, knn_run), knn_run)["status"] == 200
    again = make_world(ease_run, knn_run)
    assert again.service.shop.active.version == model_version(knn_run)
    # Where it is not known any more, the first run answers.
    assert make_world(ease_run).service.shop.active.version == model_version(ease_run)


def test_a_model_that_cannot_be_loaded_changes_nothing(make_world: Make, ease_run, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(ease_run, models / "good")
    one, two = (make_world(ease_run, models=str(models)) for _ in range(2))
    user = one.run.dataset.users.ids[7]
    before = one.items(user_id=user)
    bad = models / "bad"
    shutil.copytree(models / "good", bad)
    about = bad / "model" / "model.json"
    about.write_text(about.read_text().replace('"learned"', '"learnt"'))
    answer = activate(one, bad)
    assert answer["status"] == 409
    assert "could not be loaded" in answer["error"] and "answers on" in answer["error"]
    assert one.items(user_id=user) == two.items(user_id=user) == before
    assert activate(two, bad)["status"] == 409  # and again, not from memory
    shutil.rmtree(bad)
    assert activate(two, models / "good")["status"] == 200


def test_one_switch_at_a_time(make_world: Make, ease_run, knn_run):
    world = make_world(ease_run, knn_run)
    attempt = world.service.shop.store.want("another", 60)
    answer = activate(world, knn_run)
    assert answer["status"] == 409 and "another switch" in answer["error"]
    world.service.shop.store.give_up(attempt or "")
    assert activate(world, knn_run)["status"] == 200


def test_a_worker_without_the_active_model_refuses(make_world: Make, ease_run, knn_run):
    """As one that was silent for so long that nobody waited for it."""
    world = make_world(ease_run, knn_run)
    switcher = world.client.app.app.state.switcher  # type: ignore[attr-defined]
    switcher._stop_now.set()
    switcher.join()
    store = world.service.shop.store
    attempt = store.want(model_version(knn_run), 60)
    assert store.activate(attempt or "", 0)
    answer = world.client.post("/v1/recommend", json={"user_id": "u"})
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert world.client.get("/health/ready").status_code == 503
    switcher.beat()
    switcher._load.result()
    told = world.post("/v1/recommend", user_id="u")
    assert told["model_version"] == model_version(knn_run)


def test_questions_that_were_asked_before_are_answered_by_the_old_one(
    make_world: Make, ease_run, knn_run, monkeypatch
):
    world = make_world(ease_run, knn_run)
    user = world.run.dataset.users.ids[7]
    model, begun, go = world.service.shop.active.run.model, threading.Event(), threading.Event()
    rank = model.rank

    def waits(*asked):
        begun.set()
        go.wait(10)
        return rank(*asked)

    monkeypatch.setattr(model, "rank", waits)
    answers: list[dict] = []
    asking = threading.Thread(
        target=lambda: answers.append(world.post("/v1/recommend", user_id=user))
    )
    asking.start()
    begun.wait(10)
    assert activate(world, knn_run)["status"] == 200
    go.set()
    asking.join()
    assert answers[0]["model_version"] == model_version(ease_run)
    assert [item["item_id"] for item in answers[0]["items"]] == world.best(world.history(user))
    world.settle()
    now = world.post("/v1/recommend", user_id=user)
    assert now["model_version"] == model_version(knn_run) and now["source"] == "model"


def test_runs_that_cannot_be_served(ease_run, tmp_path):
    with pytest.raises(ModelFolderError, match="no run folder"):
        RunFolders([tmp_path]).find()
    with pytest.raises(ConfigError, match="no finished run is there"):
        RunFolders([], tmp_path).find()
    shutil.copytree(ease_run, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.json").write_text("{}")
    assert list(RunFolders([], tmp_path).find().values()) == [tmp_path / "a"]


def test_questions_are_asked_together(world: World):
    from edgewise.serving.batching import Batcher, BatchLimits, FullError, LateError
    from edgewise.serving.model import Question

    served = world.service.shop.active
    users = world.run.dataset.users.ids[:6]
    tastes = [world.service.shop.taste(served, user)[0] for user in users]
    questions = [
        Question(t, t.history, k) for t, k in zip(tastes, (3, 60, 5, 1, 2, 4), strict=True)
    ]
    sizes: list[int] = []

    async def ask() -> None:
        batcher = Batcher(BatchLimits(size=4, queue=6), lambda size, seconds: sizes.append(size))
        found = await asyncio.gather(*(batcher.rank(served, q, 10) for q in questions))
        for user, question, (items, _) in zip(users, questions, found, strict=True):
            expected = world.best(world.history(user), question.k)
            assert [served.catalogue.ids[item] for item in items] == expected
        go = threading.Event()
        busy = asyncio.create_task(batcher.run(lambda: go.wait(120), None))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(batcher.rank(served, q, 0.5)) for q in questions]
        await asyncio.sleep(0.01)
        with pytest.raises(FullError):
            await batcher.rank(served, questions[0], 1)
        for task in waiting:
            with pytest.raises(LateError):
                await task
        go.set()
        await busy
        assert await batcher.run(lambda: 5, 1) == 5  # what nobody waits for is not asked
        await batcher.close()

    asyncio.run(ask())
    assert sizes == [4, 2]


def test_new_items_are_listed_once_the_model_is_told_of_them(make_world: Make, monkeypatch):
    pytest.importorskip("edgewise.models.grown")
    one, two = make_world(), make_world()
    user = one.run.dataset.users.ids[7]
    before = one.items(user_id=user, k=60)
    dataset = one.run.dataset
    like = dataset.items.index_of(before[0])
    catalog = dataset.catalog
    told = {"title": catalog.title[like], "brand": catalog.brand[like]}
    told["categories"] = list(catalog.categories[like])
    one.client.put("/v1/items/fresh", json=told)
    for world in (one, two):
        for _ in range(6000):
            found = world.items(user_id=user, k=60)
            if "fresh" in found:
                break
            time.sleep(0.01)
        assert [item for item in found if item != "fresh"] == before
        assert found.index("fresh") < 20  # it is the twin of what is liked best
    one.settle()
    again = two.post("/v1/recommend", user_id=user, k=60)
    assert again["source"] == "cache" and [item["item_id"] for item in again["items"]] == found
    one.client.put("/v1/items/fresh", json={"available": False})
    assert two.items(user_id=user, k=60) == before
    one.client.put("/v1/items/fresh", json={"available": True})
    two.event(user, "fresh", "k")
    assert "fresh" not in one.items(user_id=user, k=60)
    one.post("/v1/rank", user_id=user, candidates=["fresh", before[3]])
    one.post("/v1/explain", user_id=user, item_id="fresh")
