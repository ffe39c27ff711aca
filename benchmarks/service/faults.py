"""A service under fire: workers killed, a model switched, and nothing may be lost or wrong.

Run ``python benchmarks/service/faults.py RUN OTHER_RUN [--minutes 5] [--json FILE]``. It starts
``edgewise serve`` with both runs and two workers, and sends events and requests from several
clients at once. A third and two thirds through, a worker is killed with SIGKILL; half through, the
other model is activated. An independent model of the shop, a dictionary of who has what, says what
every answer must hold:

* no event that was acknowledged is lost, and none counts twice (the history of every user, at the
  end);
* no list holds an item that its user has, by the data set or an event acknowledged before the
  request was sent, an item that does not exist, or one twice;
* after the switch was acknowledged no answer comes from the old model, before it none from the new;
* a list, where its user had nothing on the way, is that of the model itself for the same history
  (a sample, worked out in this process without the service).

Connections that break are tried again with the same key. It ends with exit code 1 where anything
was lost or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import keep

from edgewise import open_run
from edgewise.data.dataset import histories_of
from edgewise.data.ragged import Ragged
from edgewise.runs.run import Run
from edgewise.serving.version import model_version

CLIENTS, USERS, CHECKED = 8, 300, 0.02
# Scores that are nearer are equal: sums are rounded otherwise in batches of other sizes.
K, SPARE, EQUAL = 10, 5, 1e-4


@dataclass
class Shop:
    """What must be true, from what was acknowledged alone."""

    has: dict[str, list[str]]
    active: str
    pending: str | None = None
    events: dict[str, list[str]] = field(default_factory=dict)
    moving: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    to_compare: list[tuple[str, str, list[str], list[str]]] = field(default_factory=list)

    def blame(self, what: str) -> None:
        self.counts["wrong"] += 1
        if len(self.wrong) < 20:
            self.wrong.append(what)


class Client:
    """One customer of the service after the other, as a browser would ask for them."""

    def __init__(
        self, http: httpx.AsyncClient, shop: Shop, tally: Tally, items: list[str], seed: int
    ) -> None:
        self.http, self.shop, self.tally, self.items = http, shop, tally, items
        self.random = random.Random(seed)

    async def send(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Ask until there is an answer: broken connections and 503 are tried again."""
        while True:
            try:
                answer = await self.http.post(path, json=body)
            except httpx.TransportError:
                self.tally.counts["broken connections"] += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 503:
                self.tally.counts["asked to wait"] += 1
                await asyncio.sleep(0.2)
                continue
            return answer

    async def shopping(self, until: float) -> None:
        users = list(self.shop.has)
        while time.monotonic() < until:
            user = self.random.choice(users)
            if self.random.random() < 0.3:
                await self.buy(user)
            else:
                await self.look(user)

    async def buy(self, user: str) -> None:
        item, key = self.random.choice(self.items), uuid.uuid4().hex
        event = {"key": key, "user_id": user, "item_id": item, "kind": "purchase"}
        self.shop.moving[user] += 1
        self.shop.changes[user] += 1
        answer = await self.send("/v1/events", {"events": [event]})
        if answer.status_code == 200:
            self.shop.events.setdefault(user, []).append(item)
            self.tally.counts["events"] += 1
            if self.random.random() < 0.1:  # a sender that did not hear the answer
                again = await self.send("/v1/events", {"events": [event]})
                if again.json().get("repeated") != 1:
                    self.tally.blame(f"event {key} counted twice: {again.text}")
        else:
            self.tally.blame(f"event refused: {answer.status_code} {answer.text}")
        self.shop.moving[user] -= 1

    async def look(self, user: str) -> None:
        shop = self.shop
        known = [*shop.has[user], *shop.events.get(user, [])]
        still = not shop.moving[user]
        changes = shop.changes[user]
        before, switching = shop.active, shop.pending
        answer = await self.send("/v1/recommend", {"user_id": user, "k": K})
        if answer.status_code != 200:
            self.tally.blame(f"list refused: {answer.status_code} {answer.text}")
            return
        told = answer.json()
        self.tally.counts[f"lists from {told['source']}"] += 1
        listed = [item["item_id"] for item in told["items"]]
        if len(set(listed)) != len(listed) or len(listed) != K:
            self.tally.blame(f"{user}: {len(listed)} items, {len(set(listed))} different")
        if set(listed) & set(known):
            self.tally.blame(f"{user} has {set(listed) & set(known)} already")
        if not set(listed) <= set(self.items):
            self.tally.blame(f"{user}: {set(listed) - set(self.items)} do not exist")
        allowed = {before, shop.active, switching or before, shop.pending or before}
        if told["model_version"] not in allowed:
            self.tally.blame(f"{user}: version {told['model_version']}, not {allowed}")
        quiet = still and changes == shop.changes[user] and told["source"] != "fallback"
        if quiet and self.random.random() < CHECKED:
            self.tally.to_compare.append((told["model_version"], user, known, listed))


def compare(runs: dict[str, Run], tally: Tally) -> None:
    """The same lists, worked out without the service."""
    for version, user, known, listed in tally.to_compare:
        run = runs[version]
        model, index = run.model, run.dataset.users.index_of(user)
        histories = histories_of(run.dataset.num_users, run.dataset.interactions)
        rows = [histories[row] for row in range(len(histories))]
        rows[index] = run.dataset.items.indices_of(known)
        found = model.recommend([user], K + SPARE, histories=Ragged.of_rows(rows))
        wanted = found.to_frame(run.dataset)["item_id"].to_list()
        scores = dict(zip(wanted, found.score.tolist(), strict=True))
        tally.counts["lists compared"] += 1
        tally.counts["of them in the very same order"] += listed == wanted[:K]
        apart = [
            abs(scores.get(item, -np.inf) - score)
            for item, score in zip(listed, found.score[:K].tolist(), strict=True)
        ]
        if max(apart) > EQUAL:
            tally.blame(f"{user}: {listed}, the model says {wanted[:K]}")


async def check_logs(http: httpx.AsyncClient, shop: Shop, tally: Tally) -> None:
    """Every acknowledged event, once, in the histories."""
    for user, items in shop.events.items():
        told = (await http.get(f"/v1/users/{user}/history")).json()["items"]
        found = [item["item_id"] for item in told]
        wanted = [*shop.has[user], *items]
        if Counter(found) != Counter(wanted):
            lost = Counter(wanted) - Counter(found)
            more = Counter(found) - Counter(wanted)
            tally.counts["lost events"] += lost.total()
            tally.blame(f"{user}: lost {dict(lost)}, too many {dict(more)}")


def workers_of(process: subprocess.Popen[Any]) -> list[int]:
    """Process ids of those of the service that listen or were started by it."""
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
    )
    found = []
    for pid in map(int, children.stdout.split()):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if "resource_tracker" not in command:
            found.append(pid)
    return found


async def fire(
    process: subprocess.Popen[Any],
    http: httpx.AsyncClient,
    shop: Shop,
    tally: Tally,
    other: str,
    seconds: float,
) -> None:
    """Two kills and a switch while clients shop."""
    for moment in range(3):
        await asyncio.sleep(seconds / 4)
        if moment == 1:
            shop.pending = other
            answer = await http.post(f"/v1/models/{other}:activate", timeout=300)
            if answer.status_code == 200:
                shop.active, shop.pending = other, None
                tally.counts["switches"] += 1
            else:
                tally.blame(f"no switch: {answer.status_code} {answer.text}")
        else:
            victim = random.Random(moment).choice(workers_of(process))
            os.kill(victim, signal.SIGKILL)
            tally.counts["workers killed"] += 1


async def ready(http: httpx.AsyncClient, process: subprocess.Popen[Any]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            sys.exit("the service did not start")
        try:
            if (await http.get("/health/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    sys.exit("the service was not ready in two minutes")


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    folders = [arguments.run, arguments.other]
    runs = {model_version(folder): open_run(folder, arguments.data) for folder in folders}
    first, other = runs
    dataset = runs[first].dataset
    histories = histories_of(dataset.num_users, dataset.interactions)
    chosen = np.random.default_rng(0).permutation(dataset.num_users)[:USERS]
    has = {
        dataset.users.ids[user]: [dataset.items.ids[item] for item in histories[user]]
        for user in chosen
    }
    shop, tally = Shop(has, first), Tally()
    seconds = arguments.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgewise.cli.main", "serve", *map(str, folders)]
        command += ["--workers", "2", "--port", str(arguments.port)]
        command += ["--store", arguments.store or str(Path(folder, "store.sqlite"))]
        command += ["--data", str(arguments.data)] if arguments.data else []
        with Path(folder, "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            limits = httpx.Limits(max_connections=CLIENTS + 2)
            base = f"http://127.0.0.1:{arguments.port}"
            async with httpx.AsyncClient(base_url=base, limits=limits, timeout=30) as http:
                await ready(http, process)
                begun = time.monotonic()
                clients = [
                    Client(http, shop, tally, list(dataset.items.ids), seed)
                    for seed in range(CLIENTS)
                ]
                await asyncio.gather(
                    fire(process, http, shop, tally, other, seconds),
                    *(client.shopping(begun + seconds) for client in clients),
                )
                took = time.monotonic() - begun
                await check_logs(http, shop, tally)
        finally:
            process.terminate()
            process.wait(60)
    compare(runs, tally)
    counts = {"lost events": 0, "wrong": 0, **tally.counts}
    return {"seconds": round(took, 1), "clients": CLIENTS, **counts, "examples": tally.wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--store", help="instead of a new SQLite file")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments))
    print(json.dumps(found, indent=2))
    if arguments.json:
        named = {name.replace(" ", "_"): value for name, value in found.items()}
        keep(arguments.json, {"two_workers": named})
    sys.exit(bool(found["wrong"] or found["lost events"]))


if __name__ == "__main__":
    main()
