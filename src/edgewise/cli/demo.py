"""``edgewise demo``: the whole journey on a shop made up for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.evaluate import measure
from edgewise.cli.fit import complete_methods, plan_table
from edgewise.cli.output import command_line, console, examples, list_table, say
from edgewise.config import check_seed

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.recommender import FitPlan
    from edgewise.reporting.run_page import ExplanationExample, UserExample
    from edgewise.runs.run import Run


def demo(
    out: Annotated[
        Path, typer.Option(help="The run folder; an older demo in it is replaced.")
    ] = Path("runs/demo"),
    method: Annotated[
        str,
        typer.Option(
            help="What to train; see 'edgewise methods'.", autocompletion=complete_methods
        ),
    ] = "elmrec",
    seed: Annotated[int, typer.Option(help="Seed of the shop and of the training.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller shop and two epochs: seconds, poor results.")
    ] = False,
) -> None:
    """Make a shop, train on it, measure, recommend, explain, and write OUT/report.html."""
    from edgewise.models.registry import find_method

    find_method(method, "--method: ")
    check_seed(seed, "--seed")
    from edgewise.data.synthetic import make_demo_shop
    from edgewise.files import write_text
    from edgewise.reporting.run_page import explanation_examples, run_page, user_examples
    from edgewise.runs.evaluate import Conditions

    sizes = {"num_users": 80, "num_items": 144} if quick else {}
    dataset = make_demo_shop(seed, **sizes)
    run = _trained(out, dataset, method, seed, 2 if quick else None)
    results = [measure(run, task, Conditions()) for task in run.tasks]
    users, texts = user_examples(run), explanation_examples(run)
    for user in users:
        _print_user(user)
    for text in texts:
        _print_explanation(text)
    report = out / "report.html"
    write_text(report, run_page(run, results, users, texts))
    say(f"\nwrote {report}: open it in a browser")


COMMANDS = (
    (
        demo,
        examples(
            "edgewise demo",
            "edgewise demo --method graph-gpt --out runs/demo-gpt",
            "edgewise demo --out runs/quick --quick",
        ),
        {},
    ),
)


def _trained(out: Path, dataset: Dataset, method: str, seed: int, epochs: int | None) -> Run:
    """Train as ``edgewise fit METHOD --preset tiny`` does, with the shop beside the run."""
    from edgewise.models.registry import find_method
    from edgewise.runs.spec import DataInfo, RunSpec, resolve_config
    from edgewise.runs.train import train

    config = resolve_config(find_method(method), "tiny", {"seed": seed})
    if epochs is not None and hasattr(config, "training"):
        changed = {"seed": seed, "training": {"epochs": epochs}}
        config = resolve_config(find_method(method), "tiny", changed)
    data = DataInfo.of(dataset, out / "data")
    spec = RunSpec(method, config, data, command=command_line())

    def begin(plan: FitPlan) -> None:
        dataset.save(out / "data", force=True)
        console().print(plan_table(plan, spec, out))

    return train(spec, out, dataset=dataset, force=True, show_progress=True, on_plan=begin)


def _print_user(user: UserExample) -> None:
    rows = [("", item.title, item.shelf) for item in user.history]
    columns = ("", "title", "shelf")
    heading = f"{user.user_id}: the {len(rows)} newest of {user.history_length} purchases"
    console().print(list_table(heading, rows, columns))
    lists = [
        (str(rank), item.title + (" (bought next)" if item.held_out else ""), item.shelf)
        for rank, item in enumerate(user.recommended, start=1)
    ]
    console().print(list_table(f"{user.user_id}: recommended", lists, columns))


def _print_explanation(example: ExplanationExample) -> None:
    say(f"\n{example.item.title} for {example.user_id}")
    say(f"  the model writes:  {example.written}")
    say(f"  the user wrote:    {example.own_words}")
    speaking = ", ".join(f"{title} ({share:.0%})" for title, share in example.speaking)
    say(f"  what speaks for it: {speaking or 'nothing the graph knows of'}")
