"""Is a difference more than chance? Intervals over users, and tests over users and seeds.

Intervals are drawn over users; all columns of a row share their draws. The reference of a block is
compared with every other row: by a t-test over seeds, and by a paired bootstrap over users,
adjusted by Holm for all differences of the block under one protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from edgewise.evaluation.statistics import (
    Bootstrap,
    bootstrap_means,
    holm,
    paired_bootstrap,
    paired_t_test,
)
from edgewise.experiments.conditions import conditions_in_words
from edgewise.experiments.figures import (
    BLOCK,
    COLUMN,
    DIFFERENCE,
    FIGURE,
    FIGURES,
    PAPER,
    PLACE,
    ROW,
    SECOND,
    Groups,
    baseline_row,
    placed,
)
from edgewise.experiments.grid import HONEST
from edgewise.experiments.published import BEST_ROW, Paper
from edgewise.experiments.results import TIME
from edgewise.runs.user_figures import UNITS

LEVEL = 0.05
"""Below this, an adjusted p-value is called significant."""
_RESAMPLES, _RESAMPLES_A_TEST = 5_000, 100
"""The least p-value of R resamples is about 2 / R, and Holm multiplies it by the number of tests:
with 100 for each, it can still tell a difference."""
_NEITHER_GOOD_NOR_BAD = "^(PopularShare|Coverage|Distinct)"
_ENDS = {name: FIGURE[name] for name in (*PLACE, "low", "high")}


def with_tests(
    block: pl.DataFrame, task: str, groups: Groups, paper: Paper, runs: Path
) -> pl.DataFrame:
    """The block with conditions, intervals of rows of several seeds, and differences.

    Args:
        block: its places and figures.
        task: of the block.
        groups: the results behind it, by row and protocol.
        paper: its reference; the first row of ours where it has none.
        runs: where users' rows are, if not beside results; what is absent is left out, and the
            conditions say so.
    """
    origins = block["origin"].unique(maintain_order=True) if task != TIME else []
    known = {p: _all_users(groups, task, p, runs) for p in origins if p != PAPER}
    reference = _reference(block, paper, known.get(HONEST, {})) if task != TIME else None
    conditions: dict[str, str | None] = {PAPER: None}
    differences = [pl.DataFrame(schema=DIFFERENCE)]
    for protocol, users in known.items():
        mine = [each for key, group in groups.items() if key[1] == protocol for each in group]
        conditions[protocol] = conditions_in_words(mine, task, _lacking(block, users, protocol))
        block = _with_intervals(block, users, protocol)
        if reference is not None:
            differences.append(_differences(block, reference, users, protocol))
    return block.join(
        pl.concat(differences), on=list(PLACE), how="left", maintain_order="left"
    ).with_columns(
        pl.col("origin")
        .replace_strict(conditions, default=None, return_dtype=pl.String)
        .alias("conditions"),
        pl.lit(reference, pl.String).alias("reference"),
    )


def _reference(block: pl.DataFrame, paper: Paper, users: Mapping[str, Any]) -> str | None:
    is_ours = (pl.col("origin") != PAPER) & pl.col("value").is_not_null()
    named = ~pl.col("method").str.contains(":", literal=True)
    ours = block.filter(is_ours & named)
    methods = ours["method"].to_list()
    if paper.reference != BEST_ROW:
        return paper.reference if paper.reference in methods else next(iter(methods), None)
    ranking = best_first(ours, paper.better)
    return next((method for method in ranking if method in users), next(iter(ranking), None))


def best_first(block: pl.DataFrame, better: str = "high") -> list[str]:
    """Rows of ours by the block's last column, under the honest protocol."""
    last = block["metric"].unique(maintain_order=True).to_list()[-1:]
    own = block.filter(pl.col("metric").is_in(last), origin=HONEST).drop_nulls("value")
    return own.sort("value", descending=better != "low", maintain_order=True)["method"].to_list()


def _all_users(groups: Groups, task: str, protocol: str, runs: Path) -> dict[str, pl.DataFrame]:
    """Users by row, those of baselines from the first results that have them."""
    found: dict[str, pl.DataFrame] = {}
    for (method, under), group in groups.items():
        if under != protocol or group[0].kind != "run":
            continue
        users = _averaged([each.rows(task, runs) for each in group])
        if users is not None:
            found[method] = users
        beside = baseline_row(group[0], task)
        if beside and beside not in found:
            users = _averaged([group[0].rows(task, runs, 1)])
            found |= {} if users is None else {beside: users}
    return found


def _averaged(frames: Sequence[pl.DataFrame | None]) -> pl.DataFrame | None:
    """Metrics of users (or pairs), each averaged over seeds; units ascending.

    None where a seed's users are absent, or others than another seed's.
    """
    there = [frame for frame in frames if frame is not None]
    if len(there) < len(frames) or not there:
        return None
    keys = [name for name in UNITS if name in there[0].columns]
    ordered = [frame.sort(keys) for frame in there]
    if not all(ordered[0].select(keys).equals(frame.select(keys)) for frame in ordered):
        return None
    names = [n for n, kind in ordered[0].schema.items() if n not in keys and kind.is_numeric()]
    means = {n: np.mean([frame[n].to_numpy() for frame in ordered], axis=0) for n in names}
    return ordered[0].select(keys).with_columns(**{n: pl.Series(v) for n, v in means.items()})


def _lacking(block: pl.DataFrame, users: Mapping[str, pl.DataFrame], protocol: str) -> str:
    """Whose users are not at hand, in words; empty where all are."""
    known = block.filter(pl.col("origin") == protocol, pl.col("value").is_not_null())
    ours = known.select("method", "label").unique(maintain_order=True)
    lacking = ours.filter(~pl.col("method").is_in(list(users)))
    if lacking.is_empty():
        return ""
    whose = "" if len(lacking) == len(ours) else f" of {', '.join(lacking['label'])}"
    return (
        f"; users' rows{whose} are not at hand: no intervals over users "
        "for means of seeds, no test over users"
    )


def _with_intervals(
    block: pl.DataFrame, users: Mapping[str, pl.DataFrame], protocol: str
) -> pl.DataFrame:
    """Where several seeds were averaged, the interval of their mean over users."""
    several = block.filter(pl.col("origin") == protocol, pl.col("seeds").list.len() > 1)
    found = [pl.DataFrame(schema=_ENDS)]
    for (method,), own in several.group_by("method", maintain_order=True):
        rows = users.get(str(method))
        metrics = [n for n in own["metric"] if rows is not None and n in rows.columns]
        if rows is None or not metrics:
            continue
        values = np.column_stack([rows[name].to_numpy() for name in metrics])
        estimates = bootstrap_means(values, Bootstrap())
        ends = [
            (method, n, protocol, e.low, e.high) for n, e in zip(metrics, estimates, strict=True)
        ]
        found.append(pl.DataFrame(ends, schema=_ENDS, orient="row"))
    return block.update(pl.concat(found), on=list(PLACE), how="left")


def _differences(
    block: pl.DataFrame, reference: str, users: Mapping[str, pl.DataFrame], protocol: str
) -> pl.DataFrame:
    """The reference less every other row, in all columns of a protocol, as ``DIFFERENCE``."""
    known = block.filter(pl.col("origin") == protocol, pl.col("value").is_not_null())
    is_reference = pl.col("method") == reference
    mine = known.filter(is_reference).select("metric", "value", "seeds", "per_seed")
    others = known.filter(~is_reference)
    pairs = others.join(mine, on="metric", suffix="_reference", maintain_order="left")
    found = [_by_seeds(pair) for pair in pairs.iter_rows(named=True)]
    columns = [_paired(users, reference, each) for each in found]
    tested = [n for n, column in enumerate(columns) if column is not None]
    if tested:
        table = np.column_stack([columns[n] for n in tested])  # type: ignore[arg-type]
        draws = Bootstrap(resamples=max(_RESAMPLES, _RESAMPLES_A_TEST * len(tested)))
        estimates, p_values = zip(*paired_bootstrap(table, draws), strict=True)
        for n, each, p, adjusted in zip(tested, estimates, p_values, holm(p_values), strict=True):
            ends = {"difference_low": each.low, "difference_high": each.high}
            found[n] |= {"difference": each.mean, **ends, "p_users": p, "p_holm": adjusted}
    return pl.DataFrame(found, schema=DIFFERENCE)


def _by_seeds(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The difference of two means, and the t-test over the seeds that both have."""
    mine = dict(zip(pair["seeds_reference"], pair["per_seed_reference"], strict=True))
    other = dict(zip(pair["seeds"], pair["per_seed"], strict=True))
    shared = sorted(mine.keys() & other.keys())
    p_value = paired_t_test([mine[seed] for seed in shared], [other[seed] for seed in shared])
    place = {name: pair[name] for name in PLACE}
    return {**place, "difference": pair["value_reference"] - pair["value"], "p_seeds": p_value}


def _paired(
    users: Mapping[str, pl.DataFrame], reference: str, place: Mapping[str, Any]
) -> np.ndarray | None:
    """The difference user by user, None where both do not have the metric of the same users."""
    mine, other, metric = users.get(reference), users.get(place["method"]), place["metric"]
    if mine is None or other is None or metric not in mine.columns or metric not in other.columns:
        return None
    units = [
        frame.select(name for name in UNITS if name in frame.columns) for frame in (mine, other)
    ]
    if not units[0].equals(units[1]):
        return None
    return mine[metric].to_numpy() - other[metric].to_numpy()


def tested_block(
    place: Sequence[str],
    labels: Mapping[str, str],
    figures: Sequence[Mapping[str, Any]],
    users: Mapping[str, pl.DataFrame],
    *,
    reference: str,
    conditions: str,
) -> pl.DataFrame:
    """Systems measured once under one protocol, as :data:`FIGURES`, tested user by user.

    What lists show of the catalogue is neither good nor bad by itself: no marks, no tests.

    Args:
        place: table, data set and task.
        labels: of the rows, in order; baselines' keys contain a colon.
        figures: ``method, metric, origin, value, low, high, seeds, per_seed, users, minutes`` each.
        users: metrics of users (or pairs), by row; units ascending.
        reference: the row that the others are compared with.
        conditions: in words.
    """
    frame = pl.DataFrame(list(figures), schema=FIGURE)
    rows = pl.DataFrame(list(labels.items()), schema=ROW, orient="row")
    block = placed(rows, frame.select(*COLUMN).unique(maintain_order=True), frame, PLACE)
    is_judged = ~pl.col("metric").str.contains(_NEITHER_GOOD_NOR_BAD)
    differences = _differences(block.filter(is_judged), reference, users, frame["origin"][0])
    told = {name: pl.lit(value) for name, value in zip(BLOCK, place, strict=True)}
    told |= {"reference": pl.lit(reference), "conditions": pl.lit(conditions)}
    found = block.join(differences, on=list(PLACE), how="left", maintain_order="left")
    found = marked(found.with_columns(**told), "high")
    judged_place = pl.when(is_judged).then("place").otherwise(0)
    star = pl.col("star") & is_judged
    return found.with_columns(place=judged_place, star=star).select(*FIGURES)


def marked(block: pl.DataFrame, better: str) -> pl.DataFrame:
    """The block with places and stars; none of them where no figure is good or bad.

    A star says that the reference is better than every other row of the column with a Holm-adjusted
    p-value below .05.
    """
    if better == "none":
        return block.with_columns(place=pl.lit(0, pl.Int64), star=pl.lit(value=False))
    sign, column = (1 if better == "high" else -1), list(COLUMN)
    rank = pl.col("value").rank("dense", descending=better == "high").over(column)
    judged = pl.col("value").drop_nulls().n_unique().over(column) > 1
    compared = pl.col("difference").is_not_null()
    sure = (pl.col("p_holm") < LEVEL).fill_null(value=False) & (sign * pl.col("difference") > 0)
    beats_all = (~compared | sure).all().over(column) & compared.any().over(column)
    return block.with_columns(
        place=pl.when(judged & (rank <= SECOND)).then(rank).otherwise(0).cast(pl.Int64),
        star=beats_all & (pl.col("method") == pl.col("reference")) & pl.col("value").is_not_null(),
    ).with_columns(pl.col("star").fill_null(value=False))
