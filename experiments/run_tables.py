"""Tables of fitted runs: direct, sequential and explanation, each beside its baseline."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
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
from seeded_tables import variants

Rows = list[list[str]]

_ACCURACY = ["HR@5", "NDCG@5", "HR@10 (95 % interval)", "NDCG@10"]
_TIME = ["epochs", "training, minutes", "users"]
_VARIANTS = ("none", "random", "random-trained", "spectral", "spectral-cross-fitted")
_LONGER = (("beauty", "random"), ("toys", "random"), ("beauty", "best"), ("toys", "best"))
_KINDS = ("incremental", "random", "graph")
_SHOPS = {"beauty": "Beauty", "toys": "Toys"}
_GRAPH_GPT = {
    ("beauty", "graph-gpt"): ("graph", "transitions"),
    ("beauty", "graph-gpt-no-graph"): ("plain", "transitions"),
    ("beauty", "graph-gpt-others-edges"): ("graph, others' edges", "transitions"),
    ("beauty", "graph-gpt-random-start"): ("plain", "random vectors"),
    ("toys", "graph-gpt"): ("graph", "transitions"),
}
_RECALL = ("Recall@20", "Recall@40", "NDCG@100")
_ABLATIONS = {
    "full model": "table-2/{dataset}/full",
    "no pre-training (LLM-NoPretrain)": "table-2/{dataset}/no-pretraining",
    "no fine-tuning (LLM-NoFineTune)": "table-2/{dataset}/no-fine-tuning",
    "plain attention (LLM-NoGKIA, Fig. 5 normal)": "table-2/{dataset}/no-graph",
    "reviews alone before fine-tuning (LLM-NoGHIP)": "table-2/{dataset}/no-graph-in-prompts",
    "Fig. 4, without second order": "figure-4/{dataset}/without-second-order",
    "Fig. 4, without items": "figure-4/{dataset}/without-items",
    "Fig. 4, without both": "figure-4/{dataset}/without-both",
    "Fig. 5, meaningless": "figure-5/{dataset}/meaningless",
    "R as released": "figure-5/{dataset}/released",
    "R as printed": "figure-5/{dataset}/printed",
    "R by others' edges": "figure-5/{dataset}/others-edges",
    "R with gates": "figure-5/{dataset}/gates",
    "all train items as targets": "choices/{dataset}/targets-all",
    "content_weight = 0.1": "choices/{dataset}/tied",
}
_PROTOCOLS = {
    ("beauty", "ELMRec, the paper's random features"): "elmrec",
    ("beauty", "ELMRec, cross-fitted spectral features"): "elmrec-spectral",
    ("toys", "ELMRec, the paper's random features"): "elmrec",
}
_REVIEWS = "reviews/musical_instruments/all-tasks"
_TEXT = ("BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "Distinct")


def direct_beauty(results: Results) -> Rows:
    """Which whole-word vectors help: one row a variant, equal settings otherwise."""
    names = {variant: f"direct/beauty/{variant}" for variant in _VARIANTS}
    rows = [[variant, *_timed(results, name, "direct")] for variant, name in names.items()]
    popular = _popular(results, list(names.values()), "direct")
    return [["whole-word vectors", *_ACCURACY, *_TIME], *rows, ["popularity", *popular]]


def two_protocols(results: Results) -> Rows:
    """The same model under the released protocol and under the honest one, direct, HR@10."""

    def cells(data: str, methods: list[str], system: str | None) -> list[str]:
        columns = [
            [f"elmrec/table-2/{data}/{m}{end}" for m in methods] for end in ("@elmrec-released", "")
        ]
        found = [results.first_report(names, "direct", system) for names in columns]
        return [interval(report, "HitRate@10") if report else NOT_RUN for report in found]

    rows: Rows = [["data", "model", "released protocol, leaks", "honest"]]
    for data, name in _SHOPS.items():
        own = {label: method for (at, label), method in _PROTOCOLS.items() if at == data}
        rows += [[name, label, *cells(data, [m], None)] for label, m in own.items()]
        rows.append([name, "popularity", *cells(data, [*own.values()], POPULARITY)])
    return rows


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


def sequential_graph_gpt(results: Results) -> Rows:
    """The time-ordered graph-attentive GPT-2: its graph in attention, and its start."""
    head = ["data", "attention", "items start from", *_ACCURACY, *_TIME]
    rows = []
    for (data, name), (attention, start) in _GRAPH_GPT.items():
        cells = _timed(results, f"sequential/{data}/{name}", "sequential")
        rows.append([_SHOPS[data], attention, start, *cells])
    for data, label in _SHOPS.items():
        names = [f"sequential/{at}/{name}" for at, name in _GRAPH_GPT if at == data]
        rows.append([label, "popularity", "", *_popular(results, names, "sequential")])
    return [head, *sorted(rows, key=lambda row: row[0])]


def ablations(dataset: str) -> Callable[[Results], Rows]:
    """Table 2 and Figs. 4 and 5 of the graph-attentive GPT-2's paper on one data set."""
    names = {
        label: f"graph-gpt/{place.format(dataset=dataset)}"
        for label, place in _ABLATIONS.items()
        if dataset == "gift_cards" or "figure-4" not in place
    }
    return lambda results: variants(results, names, _RECALL)


def pretraining(dataset: str) -> Callable[[Results], Rows]:
    """Fig. 6: figures after fine-tuning, beside the losses that pre-training ended with."""
    names = {str(n): f"graph-gpt/figure-6/{dataset}/epochs-{n:02d}" for n in (1, 2, 4, 6, 8, 10)}

    def table(results: Results) -> Rows:
        head, *rows = variants(results, names, _RECALL, head="epochs")
        losses = [_losses_before(results, name) for name in names.values()]
        joined = [[row[0], *loss, *row[1:4]] for row, loss in zip(rows, losses, strict=False)]
        return [[head[0], "loss on texts", "loss on events", *head[1:4]], *joined]

    return table


def _losses_before(results: Results, name: str) -> list[str]:
    """Validation losses of the weights that fine-tuning started from, means over seeds."""
    runs = [run["learning"] for run in results.seeded(name) if "learning" in run]
    if not runs:
        return [NOT_RUN, ""]
    stages = ("content", "events")
    return [f"{mean(run[stage]['best_valid_loss'] for run in runs):.3f}" for stage in stages]


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
    "two-protocols": two_protocols,
    "direct-longer": direct_longer,
    "sequential-beauty": sequential_beauty,
    "sequential-graph-gpt": sequential_graph_gpt,
    "graph-gpt-musical-instruments": ablations("musical_instruments"),
    "graph-gpt-gift-cards": ablations("gift_cards"),
    "graph-gpt-pretraining-musical-instruments": pretraining("musical_instruments"),
    "graph-gpt-pretraining-gift-cards": pretraining("gift_cards"),
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
