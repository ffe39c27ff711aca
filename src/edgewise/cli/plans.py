"""What is about to be trained, as a table: the same frame for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from edgewise.models.registry import setting

if TYPE_CHECKING:
    from edgewise.models.elmrec.recommender import FitPlan
    from edgewise.runs.contract import Plan
    from edgewise.runs.run import RunInfo

Row = tuple[str, str]


def plan_table(plan: Plan, info: RunInfo, out: Path) -> Table:
    """The data, what the method says of itself, its size, and where all goes."""
    config, data = info.config, info.data
    table = Table(title=f"plan: {info.method.label}", show_header=False, title_justify="left")
    table.add_row("data", f"{data.name} ({data.folder}), {info.split_kind} split")
    table.add_row("protocol", info.protocol.title)
    table.add_row("model", f"{config.backbone.name}, {plan.num_parameters:,} parameters")
    told = _ROWS.get(info.method_name)
    for row in told(plan, config) if told else ():
        table.add_row(*row)
    table.add_row("seed", str(config.seed))
    table.add_row("writes", str(out))
    return table


def _elmrec(plan: FitPlan, config: Any) -> Iterator[Row]:
    for task, count in plan.examples.items():
        kind = "explained pairs" if task == "explanation" else "users"
        words = "" if task == "explanation" else f", {config.whole_words.kind(task)} whole words"
        yield task, f"{count:,} {kind}{words}"
    yield "graph", f"{config.graph.features} features, {config.graph.folds} folds"
    yield "training", f"at most {plan.epochs} epochs of {plan.steps_per_epoch:,} batches"


def _graph_gpt(plan: Any, config: Any) -> Iterator[Row]:
    gates = ", learned strengths" if setting(config, "attention.gates", False) else ""
    path = f", {config.attention.path} paths" if config.attention.kind == "graph" else ""
    yield "attention", f"{config.attention.kind}{path}{gates}"
    for stage in plan.stages:
        yield (
            stage.name,
            f"{stage.examples:,} examples, at most {stage.epochs} epochs of "
            f"{stage.steps_per_epoch:,} batches",
        )


_ROWS: dict[str, Callable[[Any, Any], Iterator[Row]]] = {
    "elmrec": _elmrec,
    "graph-gpt": _graph_gpt,
}
