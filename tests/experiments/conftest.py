"""A layout of empty folders, and results as ``edgewise evaluate`` would write them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgewise.config import to_dict
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.protocols import find_protocol
from edgewise.evaluation.report import RankingReport, sealed, stamp
from edgewise.evaluation.statistics import Estimate
from edgewise.experiments.compare import Comparison, compare
from edgewise.experiments.grid import Layout, ResultKey
from edgewise.experiments.results import find_results, read_result
from edgewise.models.registry import find_method
from edgewise.runs.run import FINISHED, RunInfo
from edgewise.runs.spec import DataInfo, RunSpec, resolve_config
from edgewise.runs.user_figures import user_figures_file, write_user_figures

Users = Mapping[str, Sequence[float]]
Write = Callable[..., Path]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(*(tmp_path / name for name in ("configs", "results", "runs", "raw")))


def report_of(users: Users, **settings: Any) -> RankingReport:
    """A report of users ``0, 1, ...`` with the given values a metric."""
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in users.items()}
    count = len(next(iter(columns.values())))
    frame = pl.DataFrame({"user_index": np.arange(count), **columns})
    metrics = {name: Estimate(float(values.mean())) for name, values in columns.items()}
    conditions = {"part": "test", "split": "leave-one-out", "max_users": None, **settings}
    protocol = find_protocol(settings.pop("protocol", "honest"))
    conditions.pop("protocol", None)
    return RankingReport(frame, metrics, count, conditions, protocol)


@pytest.fixture
def write_result(layout: Layout) -> Write:
    """Writes a cell's result and its users: among the runs, or ``beside`` the result."""

    def write(
        place: str,
        users: Users,
        *,
        baseline: Users | None = None,
        task: str = "direct",
        checksum: str = "a" * 64,
        changes: Sequence[str] = (),
        keep_users: bool | str = True,
        edge_share: float | None = None,
        folder: str | None = None,
        **settings: Any,
    ) -> Path:
        at = ResultKey.of(Path(place))
        seed = [] if at.seed is None else [f"seed={at.seed}"]
        config = resolve_config(find_method("elmrec"), "tiny", None, [*seed, *changes])
        data = DataInfo(folder or f"runs/data/{at.dataset}", at.dataset, checksum)
        protocol = find_protocol(at.protocol, edge_share=edge_share)
        info = RunInfo(RunSpec("elmrec", config, data, protocol), FINISHED, 60.0)
        own = report_of(users, protocol=at.protocol, num_negatives=99, **settings)
        systems = {"ELMRec": own}
        if baseline is not None:
            systems["Popularity"] = report_of(
                baseline, protocol=at.protocol, num_negatives=99, **settings
            )
        content = {
            **stamp(protocol),
            "kind": "edgewise evaluation",
            "run": info.to_dict(),
            "results": {
                task: {name: {**each.to_dict(), "seconds": 1.5} for name, each in systems.items()}
            },
        }
        file = layout.results / f"{at.path}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        if keep_users == "beside":
            rows = {(task, number): each.rows for number, each in enumerate(systems.values())}
            content["users_sha256"] = write_user_figures(user_figures_file(file), rows)
        for name, each in systems.items() if keep_users is True else ():
            suffix = "" if name == "ELMRec" else "-popularity"
            stem = layout.runs / "per-user" / at.path / f"{task}-test{suffix}"
            each.save(stem.with_suffix(".json"), stem.with_suffix(".parquet"))
        file.write_text(json.dumps(sealed(content)))
        assert to_dict(config) == info.to_dict()["config"]
        return file

    return write


@pytest.fixture
def import_data(layout: Layout) -> Callable[..., str]:
    """Saves a small data set among the imported ones, or elsewhere, and gives its checksum."""

    def save(name: str, seed: int = 0, below: Path | None = None) -> str:
        dataset = make_demo_shop(seed, num_users=20, num_items=96)
        dataset.save((below or layout.runs / "data") / name)
        return dataset.checksum

    return save


@pytest.fixture
def write_config(layout: Layout) -> Write:
    """Writes a row of a table on a data set, beside those that were written before."""
    tables: dict[str, dict[str, dict[str, str]]] = {}

    def write(place: str, text: str = 'preset = "tiny"\n') -> Path:
        at = ResultKey.of(Path(f"{place}.toml"))
        datasets = tables.setdefault(at.table, {})
        datasets.setdefault(at.dataset, {})[at.method] = inline(tomllib.loads(text))
        names = dict.fromkeys(name for rows in datasets.values() for name in rows)
        lines = [f"[rows.{name}]" for name in names]
        for dataset, rows in datasets.items():
            lines += [f"[datasets.{dataset}]", f"only = {json.dumps([*rows])}"]
            lines += [f"rows.{name} = {values}" for name, values in rows.items()]
        file = layout.configs / f"{at.table}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        return file

    return write


def inline(value: Any) -> str:
    """A value as TOML has it in one line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return f"{{ {', '.join(f'{key} = {inline(each)}' for key, each in value.items())} }}"


_LEAKING = """# title: Effect of N & more
# source: a paper
# reference: n-0
# released: elmrec-released
# note: A note.
# panel: n-* | decoding.rerank_extra | N
dataset,task,method,label,HitRate@10
shop,direct,n-0,N = 0,0.65
shop,direct,lost,Lost <one>,0.31
"""


@pytest.fixture
def comparison(layout, write_result) -> Comparison:
    """Two seeds of two settings, one of which was measured under a protocol that leaks, too."""
    (layout.configs / "p").mkdir(parents=True)
    (layout.configs / "p/figure-1.csv").write_text(_LEAKING)
    for seed in (0, 1):
        for n, hits in ((0, 30), (5, 12)):
            users = {"HitRate@10": [1.0] * (hits + 3 * seed) + [0.0] * (60 - hits - 3 * seed)}
            place = f"p/figure-1/shop/n-{n}-seed{seed}"
            changes = [f"decoding.rerank_extra={n}"]
            write_result(place, users, changes=changes, baseline={"HitRate@10": [0.0] * 60})
    write_result("p/figure-1/shop/n-0@elmrec-released-seed0", {"HitRate@10": [1.0] * 60})
    files = find_results(layout, "p/figure-1")
    return compare([read_result(file, layout.results) for file in files], layout)
