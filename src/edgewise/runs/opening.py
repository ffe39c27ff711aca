"""A finished run, opened again with its data and split."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.configuration import check, with_overrides
from edgewise.data.interactions import Dataset
from edgewise.data.split import Split
from edgewise.errors import ModelFolderError
from edgewise.prompts.templates import Task
from edgewise.runs.contract import Model
from edgewise.runs.data import load_run_data
from edgewise.runs.info import FINISHED, RunInfo, read_info
from edgewise.runs.methods import MethodConfig, setting
from edgewise.runs.splitting import split_of


@dataclass(frozen=True, eq=False)
class Run:
    """A fitted model with everything it came from.

    Attributes:
        folder: the run folder.
        info: settings, versions, machine.
        model: fitted.
        dataset: the data set it was fitted on.
        split: the very split it was fitted on, graph edges and texts included.
    """

    folder: Path
    info: RunInfo
    model: Model
    dataset: Dataset
    split: Split

    @property
    def config(self) -> MethodConfig:
        """The settings it was fitted with."""
        return self.model.config

    @property
    def label(self) -> str:
        """The method, as tables call it."""
        return self.info.method.label

    @property
    def tasks(self) -> list[Task]:
        """What it was trained for, in the order in which it is told: ranking first."""
        order: tuple[Task, ...] = ("direct", "sequential", "explanation")
        return [task for task in order if task in self.model.tasks]

    def require(self, task: str) -> None:
        """Refuse a task that the run was not trained for.

        Raises:
            ConfigError: it was trained for others only.
        """
        trained = ", ".join(self.tasks)
        message = f"--task {task}: {self.folder} was not trained for it, only for {trained}"
        check(task in self.model.tasks, message)

    def without_reranking(self) -> Run:
        """The same run whose lists are the raw ones, which may hold seen items (Table 4).

        Raises:
            ConfigError: the method does not search first and rerank then.
        """
        reranks = setting(self.config, "decoding.rerank", None) is not None
        check(reranks, f"--no-rerank: {self.label} never ranks seen items, nothing to leave out")
        model = copy.copy(self.model)
        decoding = replace(model.config.decoding, rerank=False)
        model.config = replace(model.config, decoding=decoding)
        return replace(self, model=model)

    def decoding_as(self, assignments: Sequence[str]) -> Run:
        """The same run, asked for its answers in another way: ``decoding.key=value``.

        Raises:
            ConfigError: another setting is named, which training has already used, or none such.
        """
        for assignment in assignments:
            message = f"--set {assignment}: only decoding.* can change after training; fit again"
            check(assignment.partition("=")[0].strip().startswith("decoding."), message)
        if not assignments:
            return self
        config = with_overrides(self.config, assignments)
        model = copy.copy(self.model)
        model.config = config
        return replace(self, model=model, info=replace(self.info, config=config))


def open_run(folder: str | Path, data: str | Path | None = None) -> Run:
    """Open a finished run.

    Example:
        >>> run = open_run("runs/mine")                                    # doctest: +SKIP
        >>> run.model.recommend(run.dataset.users.indices_of(["u1"]), k=5)   # doctest: +SKIP

    Args:
        folder: made by ``edgewise fit``.
        data: where the data set stands now, if it has moved.

    Raises:
        ModelFolderError: there is no finished run, or its model is damaged.
        DataError: the data set is missing or is not the one the run was fitted on.
    """
    folder = Path(folder)
    info = read_info(folder)
    if info.status != FINISHED:
        raise ModelFolderError(
            f"{folder}: training did not finish; go on with "
            f"'edgewise fit {info.method_name} --out {folder} --resume'"
        )
    dataset = load_run_data(info.data, data)
    split = split_of(info, dataset)
    return Run(folder, info, info.method.load(folder / "model"), dataset, split)
