"""The two papers' releases beside edgewise: one data set, one tokenizer, weights of one size.

Run ``python benchmarks/releases/compare.py elmrec CHECKOUT --python PYTHON [--data DATA]`` (or
``llm4rec``), where CHECKOUT is a checkout of the authors' repository (WangXFng/ELMRec,
anord-wang/LLM4REC) and PYTHON the interpreter of an environment with ``requirements.txt``. DATA is
an imported data set whose users have four rows or more; without it the built-in shop is taken.
Each side is a process on one thread in 32-bit floats with random weights, the two take turns, and
a figure is the median of all rounds: by the clock, and of the processor, which other work does not
stretch. Releases are adapted from outside, see ``elmrec_release.py`` and ``llm4rec_release.py``.

* ``direct``: users a second, the ten best of 100 candidates; the release by 20 beams.
* ``sequential``: users a second, the ten best of the catalogue by 20 beams, seen items left out.
* ``train_direct``, ``train_sequential``: steps a second, batches of eight.
* the same with ``_one_token`` behind the name: users and items as one token each on our side; with
  ``_int8``: our side answers with matrices of 8-bit integers.
* ``bias``: the matrices R of one batch of prompts; ``predict``: users a second, GPT-2 small.

``times_faster_at_most`` is what the ratio would be if our side's products of matrices ran at the
peak of a thread and all its other work took no time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from layouts import write_matrix, write_p5

from edgewise.data.dataset import Dataset
from edgewise.data.splits import leave_one_out
from edgewise.data.synthetic import make_demo_shop

sys.path.append(str(Path(__file__).parents[1]))
from measuring import keep
from sides import Side

_HERE = Path(__file__).parent
_WRITERS = {"elmrec": write_p5, "llm4rec": write_matrix}
# What is behind the name of a task, and options of our side.
_FORMS = {
    "elmrec": {"": ["spelled"], "_int8": ["int8"], "_one_token": ["one-token"]},
    "llm4rec": {"": ["fp32"], "_int8": ["int8"]},
}


def figures(
    ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]], least: float | None
) -> dict[str, float]:
    """Medians of what is done in a second on both sides, and their ratio.

    Args:
        least: seconds of processor that our side's products of matrices take at least; what the
            ratio would be if it did nothing else is told, too.
    """
    found: dict[str, float] = {}
    for kind, name in (("seconds", ""), ("processor_seconds", "_of_processor")):
        rates = [median(each["count"] / each[kind] for each in side) for side in (ours, theirs)]
        found |= {f"ours_a_second{name}": rates[0], f"release_a_second{name}": rates[1]}
        found[f"times_faster{name}"] = rates[0] / rates[1]
    if least:
        found["times_faster_at_most"] = ours[0]["count"] / least / rates[1]
    return {**found, "rounds": len(ours)}


def compare(asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Both sides in turns, task by task."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = make_demo_shop() if asked.data is None else Dataset.load(asked.data)
        place = folder / "data" if asked.data is None else asked.data.resolve()
        if asked.data is None:
            dataset.save(place)
        _WRITERS[asked.release](leave_one_out(dataset), folder)
        batch = [str(asked.batch)] if asked.release == "elmrec" else []
        users = [str(asked.users), str(asked.their_users or asked.users)]
        release = [str(asked.checkout.resolve()), str(folder), users[1], *batch]
        found = {}
        with ExitStack() as stack:
            sides = {
                form: stack.enter_context(
                    Side(
                        sys.executable,
                        _HERE / f"{asked.release}_ours.py",
                        str(place),
                        users[0],
                        *options,
                    )
                )
                for form, options in _FORMS[asked.release].items()
            }
            theirs = stack.enter_context(
                Side(asked.python, _HERE / f"{asked.release}_release.py", *release)
            )
            for task in asked.tasks or theirs.tasks:
                forms = [form for form, side in sides.items() if task in side.tasks]
                turns = [*(sides[form] for form in forms), theirs]
                for side in turns:  # the first time is warming up
                    side.run(task)
                rounds = [[side.run(task) for side in turns] for _ in range(asked.rounds)]
                *ours, other = zip(*rounds, strict=True)
                for form, mine in zip(forms, ours, strict=True):
                    least = sides[form].least_seconds(task)
                    found[task + form] = figures(mine, other, least)
                    shown = {key: round(value, 4) for key, value in found[task + form].items()}
                    print(task + form, shown, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release", choices=sorted(_WRITERS))
    parser.add_argument("checkout", type=Path, help="of the authors' repository")
    parser.add_argument("--python", required=True, help="of an environment for the release")
    parser.add_argument("--data", type=Path, help="an imported data set")
    parser.add_argument("--users", type=int, default=32, help="of a round")
    parser.add_argument("--their-users", type=int, help="of a round of the release, if fewer")
    parser.add_argument("--batch", type=int, default=16, help="users the release decodes at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", help="some of them alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    found = compare(asked)
    if asked.json:
        about = {"data": str(asked.data.name) if asked.data else "built-in shop"}
        about |= {"users": asked.users, "their_batch": asked.batch}
        keep(asked.json, {**found, "settings": about})


if __name__ == "__main__":
    main()
