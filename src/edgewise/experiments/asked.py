"""What a table's folder asks for, and tables whose rows are data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.experiments.blocks import Block, Row
from edgewise.experiments.paper import Paper
from edgewise.experiments.results import TIME
from edgewise.runs.recipe import read_recipe


@dataclass(frozen=True)
class Asked:
    """A configuration: the row it asks for, and its tasks; no tasks stand for all."""

    dataset: str
    method: str
    tasks: tuple[str, ...]

    def has(self, task: str) -> bool:
        """Whether figures of a task are asked for; seconds always are."""
        return not self.tasks or task in (*self.tasks, TIME)


def asked_cells(table: Path) -> Iterator[Asked]:
    """The rows that a table's configurations ask for."""
    for file in sorted(table.glob("*/*.toml")):
        recipe = read_recipe(file)
        trained = recipe.settings.get("prompts", {}).get("tasks", ())
        tasks = {"data": ("data",), "vectors": ("users", "items")}.get(recipe.kind)
        tasks = tasks or recipe.evaluation.tasks or tuple(trained)
        yield Asked(file.parent.name, file.stem, tasks)


def by_dataset(blocks: Sequence[Block], paper: Paper) -> list[Block]:
    """Blocks of one task as one block whose rows are the data sets, the paper's first."""
    printed = list(dict.fromkeys(row.dataset for row in paper.rows))
    ordered = sorted(blocks, key=lambda b: (b.dataset not in printed, _place(b.dataset, printed)))
    tasks = dict.fromkeys(block.task for block in ordered)
    return [_joined([block for block in ordered if block.task == task]) for task in tasks]


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else 0


def _joined(blocks: Sequence[Block]) -> Block:
    # Blocks that the paper prints come first and have its columns as well as ours.
    columns = dict.fromkeys(column for block in blocks for column in block.columns)
    rows = tuple(_named(block, row) for block in blocks for row in block.rows)
    return replace(blocks[0], dataset="all data sets", columns=tuple(columns), rows=rows)


def _named(block: Block, row: Row) -> Row:
    label = block.dataset if len(block.rows) == 1 else f"{block.dataset}, {row.label}"
    return replace(row, label=label)
