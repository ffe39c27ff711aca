"""RecBole's evaluation over the whole catalogue beside edgewise's: users a second, in turns.

Run ``python benchmarks/peers/evaluation.py DATA --recbole PYTHON [--models NAME ...] [--json
FILE]``, where DATA is an imported data set and PYTHON the interpreter of an environment that has
RecBole. Models are those of ``settings.py``, after two batches of training, which is as good as any
for their speed. Each side is a process on one thread that holds its model and is asked in turn; a
figure is the median of all rounds, by the clock and of the processor, which other work does not
stretch. Timed is all that a caller waits for: from the fitted model to the means of HitRate, NDCG
and MRR at 10 of all test users, with us also their intervals, coverage, popularity, chance and the
check of all lists. ``--quick`` takes the built-in shop and one round.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from compare import Effort, measure_each, told_ours, told_recbole
from settings import PEERS, Peer

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop

sys.path.append(str(Path(__file__).parents[1]))
from sides import Side

_HERE = Path(__file__).resolve().parent
_EFFORT = Effort(batches=2, epochs=1)
_OLD_PICKLES = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


def compare(peer: Peer, data: Path, python: str, rounds: int, their_batch: int) -> dict[str, Any]:
    """One model in both packages.

    Args:
        peer: the model.
        data: an imported data set.
        python: of RecBole's environment.
        rounds: of each, in turn, after one that is not counted.
        their_batch: users that RecBole scores at once.
    """
    split = leave_one_out(Dataset.load(data))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, sides = Path(name), []
        jobs = {
            "edgewise_side.py": (sys.executable, told_ours(peer, data, _EFFORT)),
            "recbole_side.py": (python, told_recbole(peer, split, folder, their_batch)),
        }
        for script, (interpreter, job) in jobs.items():
            file = folder / f"{script}.json"
            limits = {"batches": _EFFORT.batches, "epochs": _EFFORT.epochs, "longest": 0}
            file.write_text(json.dumps({**job, **limits, "turns": True}), encoding="utf-8")
            side = Side(
                interpreter,
                _HERE / script,
                *(str(file), name),
                environment=_OLD_PICKLES,
                folder=folder,
            )
            sides.append(stack.enter_context(side))
            side.run("evaluate")
        told = [[side.run("evaluate") for side in sides] for _ in range(rounds)]
    return figures(*zip(*told, strict=True))


def figures(
    ours: Sequence[Mapping[str, float]], recbole: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Medians of seconds and of users a second, their ratio, and the peaks."""
    found: dict[str, Any] = {"rounds": len(ours), "users": ours[0]["count"]}
    assert found["users"] == recbole[0]["count"]
    for name, side in (("ours", ours), ("recbole", recbole)):
        for kind in ("seconds", "processor_seconds"):
            found[f"{name}_{kind}"] = median(each[kind] for each in side)
        found[f"{name}_users_a_second"] = found["users"] / found[f"{name}_processor_seconds"]
        found[f"{name}_bytes"] = max(each["peak_bytes"] for each in side)
    found["times"] = found["ours_users_a_second"] / found["recbole_users_a_second"]
    found["times_by_the_clock"] = found["recbole_seconds"] / found["ours_seconds"]
    return found


def main() -> None:
    names = [peer.key for peer in PEERS if not peer.variant]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="an imported data set")
    parser.add_argument("--recbole", required=True, help="the interpreter that has RecBole")
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--their-batch", type=int, default=256, help="users RecBole scores at once")
    parser.add_argument("--quick", action="store_true", help="the built-in shop, one round")
    parser.add_argument("--json", type=Path, help="write the figures to this file, model by model")
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("name an imported data set, or --quick")
    python = str(Path(given.recbole).absolute())
    with tempfile.TemporaryDirectory() as folder:
        data: Path = given.data or Path(folder, "shop")
        if given.quick:
            data = Path(folder, "shop")
            make_demo_shop().save(data)
        rounds = 1 if given.quick else given.rounds
        measure_each(
            names,
            given.models,
            given.json,
            lambda peer: compare(peer, data, python, rounds, given.their_batch),
        )


if __name__ == "__main__":
    main()
