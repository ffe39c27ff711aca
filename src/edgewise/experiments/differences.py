"""The reference of a block against every other row: paired over users, and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from edgewise.evaluation.intervals import Bootstrap, Estimate, bootstrap_means
from edgewise.experiments.blocks import PAPER, Block, Column, Difference, Figure, Row
from edgewise.experiments.results import TIME, Result
from edgewise.experiments.significance import holm, paired_bootstrap, paired_t_test

Groups = Mapping[tuple[str, str], list[Result]]
_UNIT = ("user_index", "item_index")


@dataclass(frozen=True)
class Users:
    """A row's users (or pairs), each metric averaged over seeds.

    Attributes:
        unit: ``user_index`` (and ``item_index``), ascending, ``int[U, 1 or 2]``.
        values: by metric, ``float64[U]``.
    """

    unit: np.ndarray
    values: Mapping[str, np.ndarray]


def differences_of(block: Block, groups: Groups, wanted: str | None, runs: Path) -> Block:
    """The block with intervals of rows of several seeds, and with differences.

    Args:
        block: its rows.
        groups: the results behind them, by row and protocol.
        wanted: the reference; the first row of ours where it has none.
        runs: where users' rows are; what is absent there is left out, and the conditions say so.
    """
    if block.task == TIME:
        return block
    protocols = dict.fromkeys(column.origin for column in block.columns if column.origin != PAPER)
    found: list[Difference] = []
    reference = _reference(block, wanted)
    for protocol in protocols:
        users = _all_users(block, groups, protocol, runs)
        block = _with_intervals(_telling(block, users, protocol), users, protocol)
        if reference is not None:
            found += _adjusted(_differences(block, reference, users, protocol))
    return replace(block, reference=reference, differences=tuple(found))


def _reference(block: Block, wanted: str | None) -> str | None:
    ours = [
        row.method
        for row in block.rows
        if any(column.origin != PAPER for column in row.figures) and ":" not in row.method
    ]
    return wanted if wanted in ours else next(iter(ours), None)


def _all_users(block: Block, groups: Groups, protocol: str, runs: Path) -> dict[str, Users]:
    """Users by row, those of baselines from the first results that have them."""
    found: dict[str, Users] = {}
    for (method, under), group in groups.items():
        if under != protocol or group[0].kind != "run":
            continue
        frames = [each.rows(block.task, runs) for each in group]
        if users := _averaged(frames):
            found[method] = users
        name = group[0].systems(block.task)[1:]
        if name and f"baseline:{name[0]}" not in found:
            beside = _averaged([group[0].rows(block.task, runs, 1)])
            found |= {f"baseline:{name[0]}": beside} if beside else {}
    return found


def _telling(block: Block, users: Mapping[str, Users], protocol: str) -> Block:
    """The block whose conditions tell of rows whose users are not at hand."""
    columns = {column for column in block.columns if column.origin == protocol}
    ours = [row for row in block.rows if columns & row.figures.keys()]
    lacking = [row.label for row in ours if row.method not in users]
    if not lacking or protocol not in block.conditions:
        return block
    whose = "users' rows" + ("" if len(lacking) == len(ours) else f" of {', '.join(lacking)}")
    words = (
        f"{block.conditions[protocol]}; {whose} are not at hand: no intervals over users "
        "for means of seeds, no test over users"
    )
    return replace(block, conditions={**block.conditions, protocol: words})


def _averaged(frames: Sequence[pl.DataFrame | None]) -> Users | None:
    """Seeds averaged user by user; None where a seed's users are absent or others."""
    there = [frame for frame in frames if frame is not None]
    if len(there) < len(frames) or not there:
        return None
    keys = [name for name in _UNIT if name in there[0].columns]
    ordered = [frame.sort(keys) for frame in there]
    unit = ordered[0].select(keys).to_numpy()
    if not all(np.array_equal(unit, frame.select(keys).to_numpy()) for frame in ordered):
        return None
    names = [n for n, kind in ordered[0].schema.items() if n not in keys and kind.is_numeric()]
    values = {n: np.mean([frame[n].to_numpy() for frame in ordered], axis=0) for n in names}
    return Users(unit, values)


def _with_intervals(block: Block, users: Mapping[str, Users], protocol: str) -> Block:
    """Where several seeds were averaged, the interval of their mean over users."""
    rows = []
    for row in block.rows:
        values = users[row.method].values if row.method in users else {}
        own = {c: figure for c, figure in row.figures.items() if c.origin == protocol}
        lacking = [c for c in own if len(own[c].seeds) > 1 and c.metric in values]
        if lacking:
            table = np.column_stack([values[column.metric] for column in lacking])
            ends = zip(lacking, bootstrap_means(table, Bootstrap()), strict=True)
            wider = {c: replace(own[c], low=each.low, high=each.high) for c, each in ends}
            row = replace(row, figures={**row.figures, **wider})
        rows.append(row)
    return replace(block, rows=tuple(rows))


def _differences(
    block: Block, reference: str, users: Mapping[str, Users], protocol: str
) -> list[Difference]:
    """All columns and other rows under a protocol, by users where both have them."""
    mine = next(row.figures for row in block.rows if row.method == reference)
    plain = [
        _by_seeds(column, row, mine[column])
        for row in block.rows
        if row.method != reference
        for column in block.columns
        if column.origin == protocol and column in row.figures and column in mine
    ]
    pairs = [_pair(each, reference, users) for each in plain]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return plain
    tested = iter(paired_bootstrap(np.column_stack(known)))
    return [
        each if pair is None else _tested(each, *next(tested))
        for each, pair in zip(plain, pairs, strict=True)
    ]


def _by_seeds(column: Column, row: Row, mine: Figure) -> Difference:
    """The difference of two means, and the t-test over the seeds that both have."""
    other = row.figures[column]
    shared = sorted(mine.seeds.keys() & other.seeds.keys())
    first, second = ([figure.seeds[seed] for seed in shared] for figure in (mine, other))
    p_value = paired_t_test(first, second)
    estimate = Estimate(mine.value - other.value)
    return Difference(column, row.method, row.label, estimate, p_seeds=p_value)


def _pair(each: Difference, reference: str, users: Mapping[str, Users]) -> np.ndarray | None:
    mine, other = users.get(reference), users.get(each.method)
    metric = each.column.metric
    if mine is None or other is None or metric not in mine.values or metric not in other.values:
        return None
    if not np.array_equal(mine.unit, other.unit):
        return None
    return mine.values[metric] - other.values[metric]


def _tested(each: Difference, estimate: Estimate, p_users: float) -> Difference:
    return replace(each, estimate=estimate, p_users=p_users)


def _adjusted(differences: list[Difference]) -> list[Difference]:
    tested = [each for each in differences if each.p_users is not None]
    adjusted = dict(zip(map(id, tested), holm([e.p_users or 0.0 for e in tested]), strict=True))
    return [replace(each, p_holm=adjusted.get(id(each))) for each in differences]
