"""A service of real processes: kill -9 of a worker under load, a switch, an end that drains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
import httpx

from edgewise.serving.store import open_store
from edgewise.serving.version import model_version

COMMAND = (sys.executable, "-m", "edgewise.cli.main", "serve")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen, str]]]:
    """``start(*arguments)`` starts a service at a free port, and waits until it is ready."""
    begun: list[subprocess.Popen] = []

    def start(*arguments: object) -> tuple[subprocess.Popen, str]:
        log = (tmp_path / "log").open("w")
        command = [*COMMAND, *map(str, arguments), "--port", "0"]
        process = subprocess.Popen(command, stderr=log, cwd=tmp_path)
        begun.append(process)
        for _ in range(3000):
            text = (tmp_path / "log").read_text()
            found = re.search(r"http://[\d.]+:\d+", text)
            if found and text.count('"event":"ready"') >= int(arguments[-1]):
                return process, found[0]
            assert process.poll() is None, text
            time.sleep(0.1)
        raise AssertionError(text)

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
            process.wait()


def pids(log: Path) -> list[int]:
    """Of workers that became ready, in order."""
    return [int(n) for n in re.findall(r'"event":"ready","pid":(\d+)', log.read_text())]


def test_nothing_acknowledged_is_lost(start, ease_run, knn_run, tmp_path):
    process, url = start(ease_run, knn_run, "--store", "s.db", "--workers", 2)
    told: list[str] = []
    wrong: list[str] = []
    stop = threading.Event()
    client = httpx.Client(base_url=url, timeout=120)
    items = [item["item_id"] for item in _post(client, user_id="nobody", k=40)["items"]]

    def shop(name: str) -> None:
        """Somebody who buys what is recommended, and must never see it again."""
        own = httpx.Client(base_url=url, timeout=120)
        had: list[str] = []
        while not stop.is_set():
            try:
                listed = _post(own, user_id=name, k=40)["items"]
                seen = {item["item_id"] for item in listed} & set(had)
                wrong.extend(f"{name} was shown {item} again" for item in seen)
                item = listed[0]["item_id"] if len(had) < 15 else items[0]
                event = {"key": f"{name}-{len(had)}", "user_id": name, "item_id": item}
                answer = own.post("/v1/events", json={"events": [event]})
                if answer.status_code == 200:
                    told.append(event["key"])
                    had.append(item)
            except httpx.TransportError:  # the worker was killed: ask another one
                own = httpx.Client(base_url=url, timeout=120)

    people = [threading.Thread(target=shop, args=(f"p{n}",)) for n in range(3)]
    for person in people:
        person.start()
    time.sleep(0.3)
    first = pids(tmp_path / "log")
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    for _ in range(3000):
        if len(pids(tmp_path / "log")) == 3:
            break
        time.sleep(0.1)
    switched = _activate(url, model_version(knn_run))
    answers = [_post(httpx.Client(base_url=url, timeout=120), user_id=f"q{n}") for n in range(20)]
    stop.set()
    for person in people:
        person.join()
    assert switched["active"] == model_version(knn_run)
    assert {answer["model_version"] for answer in answers} == {model_version(knn_run)}
    assert not wrong and len(told) > 10
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    stored = {event.key for event in open_store(tmp_path / "s.db").events_after(0, 100_000)}
    assert set(told) <= stored
    text = (tmp_path / "log").read_text()
    assert len(pids(tmp_path / "log")) == 3 and text.count('"event":"stopped"') == 2


def _activate(url: str, version: str) -> dict:
    """As whoever is refused because a worker has just died: again."""
    for _ in range(100):
        try:
            answer = httpx.post(f"{url}/v1/models/{version}:activate", timeout=120)
        except httpx.TransportError:
            continue
        if answer.status_code == 200:
            return answer.json()
        time.sleep(0.1)
    raise AssertionError(answer.text)


def _post(client: httpx.Client, **body) -> dict:
    for _ in range(600):
        answer = client.post("/v1/recommend", json=body)
        if answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            return answer.json()
        time.sleep(0.1)
    raise AssertionError(answer.text)
