"""``edgewise demo``: the whole journey on a shop made up for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.evaluate import measure
from edgewise.cli.output import command_line, console, examples, list_table
from edgewise.cli.plans import plan_table
from edgewise.config import with_overrides
from edgewise.models.registry import DEFAULT_METHOD, find_method, training_sections

if TYPE_CHECKING:
    from edgewise.data.dataset import Dataset
    from edgewise.reporting.run_page import ExplanationExample, UserExample
    from edgewise.runs.contract import Plan
    from edgewise.runs.run import Run

EXAMPLES = examples(
    "edgewise demo",
    "edgewise demo --method graph-gpt --out runs/demo-gpt",
    "edgewise demo --out runs/quick --quick",
)


def demo(
    out: Annotated[
        Path, typer.Option(help="The run folder; an older demo in it is replaced.")
    ] = Path("runs/demo"),
    method: Annotated[
        str, typer.Option(help="What to train: elmrec or graph-gpt.")
    ] = DEFAULT_METHOD,
    seed: Annotated[int, typer.Option(help="Seed of the shop and of the training.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smaller shop and two epochs: seconds, poor results.")
    ] = False,
) -> None:
    """Make a shop, train on it, measure, recommend, explain, and write OUT/report.html."""
    find_method(method, "--method: ")
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
    typer.echo(f"\nwrote {report}: open it in a browser")


def _trained(out: Path, dataset: Dataset, method: str, seed: int, epochs: int | None) -> Run:
    """Train as ``edgewise fit METHOD --preset tiny`` does, with the shop beside the run."""
    from edgewise.runs.run import DataInfo, RunInfo, prepare_folder
    from edgewise.runs.spec import resolve_config
    from edgewise.runs.train import fit_run

    config = resolve_config("tiny", assignments=[f"seed={seed}"], method=method)
    if epochs is not None:
        shorter = [f"{section}.epochs={epochs}" for section in training_sections(config)]
        config = with_overrides(config, shorter)
    data = DataInfo.of(dataset, out / "data")
    info = RunInfo(config, data, method_name=method, command=command_line())
    prepare_folder(out, info, force=True)
    dataset.save(str(out / "data"))

    def show(plan: Plan) -> None:
        console().print(plan_table(plan, info, out))

    return fit_run(out, info, dataset, show_progress=True, on_plan=show)


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
    typer.echo(f"\n{example.item.title} for {example.user_id}")
    typer.echo(f"  the model writes:  {example.written}")
    typer.echo(f"  the user wrote:    {example.own_words}")
    speaking = ", ".join(f"{title} ({share:.0%})" for title, share in example.speaking)
    typer.echo(f"  what speaks for it: {speaking or 'nothing the graph knows of'}")
