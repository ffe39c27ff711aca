"""Tables of fitted runs: direct, sequential and explanation, each beside its baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from measured import (
    FREQUENT_TEXT,
    MODEL,
    NOT_RUN,
    POPULARITY,
    Results,
    epochs,
    interval,
    minutes,
    num_measured,
    percent,
    share,
)

Rows = list[list[str]]

_ACCURACY = ["HR@5", "NDCG@5", "HR@10 (95 % interval)", "NDCG@10"]
_TIME = ["epochs", "training, minutes", "users"]
_VARIANTS = ("none", "random", "random-trained", "spectral", "spectral-cross-fitted")
_LONGER = (("beauty", "random"), ("toys", "random"), ("beauty", "best"), ("toys", "best"))
_KINDS = ("incremental", "random", "graph")
_SHOPS = {"beauty": "Beauty", "toys": "Toys"}
_REVIEWS = "reviews/musical_instruments/all-tasks"
_TEXT = ("BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "Distinct")


def direct_beauty(results: Results) -> Rows:
    """Which whole-word vectors help: one row a variant, equal settings otherwise."""
    names = {variant: f"direct/beauty/{variant}" for variant in _VARIANTS}
    rows = [[variant, *_timed(results, name, "direct")] for variant, name in names.items()]
    popular = _popular(results, list(names.values()), "direct")
    return [["whole-word vectors", *_ACCURACY, *_TIME], *rows, ["popularity", *popular]]


def direct_longer(results: Results) -> Rows:
    """The best variant trained longer beside the paper's random propagation, on both data sets."""
    head = ["data", "variant", *_ACCURACY, *_TIME]
    rows = [
        [_SHOPS[data], variant, *_timed(results, f"direct/{data}/{variant}", "direct")]
        for data, variant in _LONGER
    ]
    for data, label in _SHOPS.items():
        names = [f"direct/{at}/{variant}" for at, variant in _LONGER if at == data]
        rows.append([label, "popularity", *_popular(results, names, "direct")])
    return [head, *sorted(rows, key=lambda row: row[0])]


def sequential_beauty(results: Results) -> Rows:
    """Table 6 of the paper (kinds of vectors) and its ablation of the reranking."""
    names = {kind: f"sequential/beauty/{kind}" for kind in _KINDS}
    rows = []
    for kind, name in names.items():
        rows.append([kind, "yes", *_timed(results, name, "sequential")])
        rows.append([kind, "no", *_timed(results, f"{name}-no-rerank", "sequential")])
    popular = _popular(results, list(names.values()), "sequential")
    head = ["whole-word vectors", "reranking", *_ACCURACY, *_TIME]
    return [head, *rows, ["popularity", "", *popular]]


def reviews_ranking(results: Results) -> Rows:
    """One model of three tasks: its two tasks of ranking."""
    rows: Rows = [["task", "system", *_ACCURACY, *_TIME]]
    for task in ("direct", "sequential"):
        rows.append([task, MODEL, *_timed(results, _REVIEWS, task)])
        rows.append([task, "popularity", *_popular(results, [_REVIEWS], task)])
    return rows


def reviews_text(results: Results) -> Rows:
    """One model of three tasks: what it writes, beside one sentence for everybody."""
    rows: Rows = [["system", *_TEXT, "pairs"]]
    for system in (MODEL, FREQUENT_TEXT):
        report = results.report(_REVIEWS, "explanation", system)
        cells = [NOT_RUN]
        if report:
            cells = [*(percent(report, name) for name in _TEXT), str(num_measured(report))]
        rows.append([system, *cells])
    return rows


def machines(results: Results) -> Rows:
    """What the runs were fitted and measured on."""
    found: dict[tuple[str, ...], int] = {}
    for result in results.evaluations():
        key = _machine(result)
        found[key] = found.get(key, 0) + 1
    head = ["processor", "cores", "threads", "Python", "torch", "transformers", "result files"]
    rows = [[*key, str(count)] for key, count in sorted(found.items())]
    return [head, *(rows or [[NOT_RUN]])]


RUN_TABLES: dict[str, Callable[[Results], Rows]] = {
    "direct-beauty": direct_beauty,
    "direct-longer": direct_longer,
    "sequential-beauty": sequential_beauty,
    "reviews-ranking": reviews_ranking,
    "reviews-text": reviews_text,
    "machines": machines,
}


def _timed(results: Results, name: str, task: str) -> list[str]:
    result, report = results.read(name), results.report(name, task)
    if not result or not report:
        return [NOT_RUN]
    users = f"{num_measured(report):,}"
    return [*_accuracy(report), epochs(result), minutes(result), users]


def _popular(results: Results, names: list[str], task: str) -> list[str]:
    report = results.first_report(names, task, POPULARITY)
    return [*_accuracy(report), "", "", f"{num_measured(report):,}"] if report else [NOT_RUN]


def _accuracy(report: dict[str, Any]) -> list[str]:
    hits = [share(report, "HitRate@5"), share(report, "NDCG@5")]
    return [*hits, interval(report, "HitRate@10"), share(report, "NDCG@10")]


def _machine(result: dict[str, Any]) -> tuple[str, ...]:
    machine, versions = result["run"]["machine"], result["run"]["versions"]
    where = [machine["processor"], machine["cores"], machine["threads"]]
    return tuple(map(str, [*where, *(versions[n] for n in ("python", "torch", "transformers"))]))
