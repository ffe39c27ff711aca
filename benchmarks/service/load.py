"""How many answers a second the service gives on loopback, beside the load generator (wrk).

Run ``python benchmarks/service/load.py RUN [--workers 2] [--seconds 20] [--json FILE]``; wrk is a
Debian package. Two loads: lists that ``edgewise batch --cache`` has stored, users at random; and
histories of people who are not in the data, which the model reads anew.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import keep

from edgewise import open_run
from edgewise.data.dataset import histories_of

_SCRIPT = """
local bodies = {}
for line in io.lines(%s) do bodies[#bodies + 1] = line end
math.randomseed(os.time())
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  return wrk.format(nil, nil, nil, bodies[math.random(#bodies)])
end
done = function(summary, latency, requests)
  io.write(string.format("EDGEWISE %%d %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def load(
    base: str, bodies: list[dict[str, Any]], seconds: int, connections: int
) -> dict[str, float]:
    """What wrk measures with these requests, drawn at random."""
    with tempfile.TemporaryDirectory() as folder:
        lines, script = Path(folder, "bodies"), Path(folder, "load.lua")
        lines.write_text("\n".join(map(json.dumps, bodies)) + "\n", encoding="utf-8")
        script.write_text(_SCRIPT % json.dumps(str(lines)), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        done = subprocess.run(
            [*command, f"{base}/v1/recommend"], capture_output=True, text=True, check=True
        )
    told = re.search(r"EDGEWISE (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert told, done.stdout
    requests, microseconds, errors, median, p99, worst = map(int, told.groups())
    return {
        "requests_per_second": round(requests / microseconds * 1e6, 1),
        "p50_milliseconds": median / 1000,
        "p99_milliseconds": p99 / 1000,
        "worst_milliseconds": worst / 1000,
        "errors": errors,
        "connections": connections,
    }


def sources(base: str) -> dict[str, float]:
    """Answers so far by where they came from, of the service's own metrics."""
    text = urllib.request.urlopen(f"{base}/metrics").read().decode()
    found: dict[str, float] = {}
    for labels, count in re.findall(r"^edgewise_request_seconds_count\{(.*)\} (\S+)$", text, re.M):
        told = dict(re.findall(r'(\w+)="(.*?)"', labels))
        if told["route"] == "/v1/recommend" and told["source"]:
            found[told["source"]] = found.get(told["source"], 0) + float(count)
    return found


def wait_for(base: str, process: subprocess.Popen[Any]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            sys.exit("the service did not start")
        try:
            urllib.request.urlopen(f"{base}/health/ready")
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the service was not ready in two minutes")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    run = open_run(arguments.run, arguments.data)
    dataset = run.dataset
    draw = random.Random(0)
    users = [dataset.users.ids[user] for user in draw.sample(range(dataset.num_users), 5000)]
    rows = histories_of(dataset.num_users, dataset.interactions)
    items = dataset.items.ids
    others = [
        [
            *(items[item] for item in rows[draw.randrange(dataset.num_users)][-20:]),
            draw.choice(items),
        ]
        for _ in range(20_000)
    ]
    base, found = f"http://127.0.0.1:{arguments.port}", {}
    edgewise = [sys.executable, "-m", "edgewise.cli.main"]
    data = ["--data", str(arguments.data)] if arguments.data else []
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "store.sqlite"))
        asked = Path(folder, "users.txt")
        asked.write_text("\n".join(users) + "\n", encoding="utf-8")
        lists = ["--users", str(asked), "-k", "100", "--out", str(Path(folder, "lists"))]
        subprocess.run(
            [*edgewise, "batch", str(arguments.run), *lists, "--cache", store, *data], check=True
        )
        serve = ["serve", str(arguments.run), "--workers", str(arguments.workers)]
        serve += ["--port", str(arguments.port), "--store", store, *data]
        with Path(folder, "log").open("w") as log:
            process = subprocess.Popen([*edgewise, *serve], stdout=log, stderr=log)
        try:
            wait_for(base, process)
            plans = {
                "stored_lists": ([{"user_id": user, "k": 10} for user in users], 16),
                "model_answers": ([{"history": row, "k": 10} for row in others], 16),
            }
            for name, (bodies, connections) in plans.items():
                load(base, bodies, 2, connections)
                before = sources(base)
                found[name] = load(base, bodies, arguments.seconds, connections)
                after = sources(base)
                found[name] |= {
                    f"from_{source}": after[source] - before.get(source, 0) for source in after
                }
                print(name, found[name], flush=True)
        finally:
            process.terminate()
            process.wait(60)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    found = measure(arguments)
    if arguments.json:
        keep(arguments.json, {"workers": arguments.workers, **found})


if __name__ == "__main__":
    main()
