"""Tables of speed, from ``make bench`` and ``experiments/two_processes.py``."""

from __future__ import annotations

from collections.abc import Callable

from measured import NOT_RUN, Results

Rows = list[list[str]]

_DECODING = {
    "direct": "exact scores of 100 candidates, beside 20 beams",
    "catalogue": "20 beams over 12,101 items",
}
_PROMPTS = {"ids_alone": "ids alone", "full_wording": "a full wording"}
_SHOPS = {
    "food": "Amazon Food's",
    "beauty": "Amazon Beauty's",
    "small": "small",
}
_TRAINING = {
    "training_beauty": "training, histories of Amazon Beauty's length",
    "training_long_histories": "training, long histories",
    "training_content": "training, content prompts of lists of items",
}
_IMPORTS = {"as_it_is": "as it is", "five_core": "its 5-core"}
_GROWTH = {
    "random_over_ten_times_the_edges": "random, ten times the edges",
    "random_over_ten_times_the_edges_and_nodes": "random, ten times the edges and nodes",
    "random_over_three_times_that": "random, thirty times after ten times",
    "spectral_over_ten_times_the_edges": "spectral, ten times the edges",
    "spectral_over_ten_times_the_edges_and_nodes": "spectral, ten times the edges and nodes",
}


def decoding(results: Results) -> Rows:
    """Users a second, beside the library's ``generate``."""
    found = results.read("bench/decoding")
    head = ["what is decoded", "users a second", "the library's", "times as fast"]
    if not found:
        return [head, [NOT_RUN]]
    names = ("users_per_second", "library_users_per_second", "ratio")
    return [
        head,
        *([label, *(f"{found[key][n]:.1f}" for n in names)] for key, label in _DECODING.items()),
    ]


def prompts(results: Results) -> Rows:
    """Seconds for a batch of direct prompts, looked up and tokenised."""
    found = results.read("bench/prompts")
    head = ["prompts of", "prompts", "tokens each", "looked up, ms", "tokenised, ms", "times"]
    if not found:
        return [head, [NOT_RUN]]
    rows = []
    for key, label in _PROMPTS.items():
        row = found[key]
        times = [f"{1000 * row[n]:.1f}" for n in ("lookup_seconds", "tokenizer_seconds")]
        sizes = [str(row["prompts"]), str(row["tokens_per_prompt"])]
        rows.append([label, *sizes, *times, f"{row['times_faster']:.0f}"])
    return [head, *rows]


def importing(results: Results) -> Rows:
    """Seconds and memory of importing a long csv."""
    found = results.read("bench/importing")
    head = ["import", "rows", "rows kept", "users", "items", "seconds", "peak, MB"]
    if not found:
        return [head, [NOT_RUN]]
    rows = []
    for key, label in _IMPORTS.items():
        row = found[key]
        sizes = [f"{row[n]:,}" for n in ("rows", "kept_rows", "users", "items")]
        rows.append([label, *sizes, f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e6:,.0f}"])
    return [head, *rows]


def propagation(results: Results) -> Rows:
    """Seconds of sparse propagation beside dense matrix powers, and as the graph grows."""
    found = results.read("bench/propagation")
    head = ["comparison", "first, seconds", "second, seconds", "second / first"]
    if not found:
        return [head, [NOT_RUN]]
    dense = found["propagation_against_dense_powers"]
    names = ("sparse_seconds", "dense_seconds", "dense_over_sparse")
    rows = [["sparse, then powers of a dense matrix", *(f"{dense[n]:.3g}" for n in names)]]
    for key, label in _GROWTH.items():
        names = ("small_seconds", "large_seconds", "times_slower")
        row = found.get(key)
        rows.append([label, *(f"{row[n]:.3g}" for n in names)] if row else [label, NOT_RUN])
    return [head, *rows]


def distances(results: Results) -> Rows:
    """What the index of distances costs, and how fast it answers."""
    found = results.read("bench/distances")
    head = ["size", "nodes", "edges", "built, s", "peak, MB", "index, MB", "full matrix, MB"]
    head += ["random pairs a second", "pairs of prompts a second"]
    if not found:
        return [head, [NOT_RUN]]
    rows = []
    for key, label in _SHOPS.items():
        row = found[key]
        sizes = [f"{row[n]:,}" for n in ("nodes", "edges")]
        names = ("peak_bytes", "index_bytes", "matrix_bytes_float32")
        megabytes = [f"{row[n] / 1e6:,.1f}" for n in names]
        speeds = [f"{row[f'{n}_pairs_per_second']:,.0f}" for n in ("random", "prompt")]
        rows.append([label, *sizes, f"{row['build_seconds']:.3g}", *megabytes, *speeds])
    return [head, *rows]


def distances_of_batches(results: Results) -> Rows:
    """Milliseconds to fill R of a batch, beside a loop that reads a matrix of distances."""
    found = results.read("bench/distances")
    head = ["size", "nodes a prompt", "index, ms", "loop, ms", "loop / index"]
    if not found:
        return [head, [NOT_RUN]]
    rows = []
    for key, label in _SHOPS.items():
        for width in (21, 101):
            seconds = [found[key][f"{n}_{width}_seconds"] for n in ("batch", "loop")]
            times = [f"{1000 * n:.1f}" for n in seconds]
            ratio = f"{found[key][f'loop_over_batch_{width}']:.1f}"
            rows.append([label, str(width), *times, ratio])
    return [head, *rows]


def attention(results: Results) -> Rows:
    """Training with the graph and without, and recommending many users at a time and one by one."""
    found = results.read("bench/attention")
    head = ["first, then second", "tokens a prompt", "first, a second", "second, a second"]
    head += ["first / second"]
    if not found:
        return [head, [NOT_RUN]]
    rows = []
    for key, label in _TRAINING.items():
        row = found[key]
        names = ("with_graph_examples_per_second", "without_examples_per_second")
        speeds = [f"{row[n]:.0f}" for n in names]
        tokens, ratio = f"{row['tokens_per_prompt']:.0f}", f"{row['with_over_without']:.2f}"
        rows.append([f"{label}: with the graph, without", tokens, *speeds, ratio])
    row = found["recommending"]
    speeds = [f"{row[n]:.0f}" for n in ("users_per_second", "one_by_one_users_per_second")]
    label = f"recommending: {row['users']} users at a time, one at a time"
    return [head, *rows, [label, "", *speeds, f"{row['ratio']:.1f}"]]


_EARLY_BATCHES = (20, 60, 100, 200)


def two_processes(results: Results) -> Rows:
    """Losses of one process and of two, early and at the end of every epoch."""
    found = results.read("two_processes")
    head = ["loss", "one process", "two processes"]
    if not found:
        return [head, [NOT_RUN]]
    one, two = found["runs"]["one"], found["runs"]["two"]
    rows = []
    for (step, first), (_, second) in zip(one["train_loss"], two["train_loss"], strict=True):
        if step in _EARLY_BATCHES or step in {row["step"] for row in one["valid_loss"]}:
            rows.append([f"training, batch {step}", f"{first:.6f}", f"{second:.6f}"])
    for first, second in zip(one["valid_loss"], two["valid_loss"], strict=True):
        totals = [f"{row['total']:.6f}" for row in (first, second)]
        rows.append([f"validation, batch {first['step']}", *totals])
    return [head, *rows]


BENCHMARK_TABLES: dict[str, Callable[[Results], Rows]] = {
    "bench-attention": attention,
    "bench-decoding": decoding,
    "bench-distances": distances,
    "bench-distances-batches": distances_of_batches,
    "bench-importing": importing,
    "bench-prompts": prompts,
    "bench-propagation": propagation,
    "two-processes": two_processes,
}
