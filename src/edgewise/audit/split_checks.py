"""Splits, their data and their graph: do they tell the rows that are to be found?

Held-out rows are looked for among the edges of the graph (``graph-edges``) and the texts that are
trained on (``text-pairs``). Two checks guess them without learning anything: by the items' numbers
(``item-numbers``), since a file that numbers its items in order of first appearance, test rows
included, gives a user's next item often the number after his last one; and by random features
propagated over the graph (``untrained-probe``), which know nothing but its edges. The others look
at time, ties and rows that stand twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgewise.audit.report import Finding, FindingBuilder, Measurement, sample_text
from edgewise.data.dataset import Dataset, Interactions
from edgewise.data.item_lists import CandidateLists, Recommendations
from edgewise.data.pairs import Pairs, among, distinct, pair_keys
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import DataError
from edgewise.evaluation.metrics import (
    Hits,
    hit_rate,
    hits_from_recommendations,
    ndcg,
    ranks_from_scores,
)
from edgewise.evaluation.protocols import Protocol, check_data
from edgewise.graph.bipartite import BipartiteGraph
from edgewise.graph.propagation import random_features

_EDGES = FindingBuilder("graph-edges", "graph")
_TEXTS = FindingBuilder("text-pairs", "text")
_ASKED = FindingBuilder("data-as-asked", "ids")
_NUMBERS = FindingBuilder("item-numbers", "ids")
_PROBE = FindingBuilder("untrained-probe", "probe")
_LATER = FindingBuilder("later-events", "order")
_TIES = FindingBuilder("tie-order", "order")
_TWICE = FindingBuilder("repeated-rows", "order")
_NO_TIMES = "the data set has no times"
# Places of a guess, and standard deviations beyond chance from which on it is called a leak.
_K, _SIGMAS = 10, 5.0
# Fresh numberings by which the numbering rule's chance is measured, and on how many users.
_SHUFFLES, _USERS = 20, 4000
# ELMRec's features: columns and layers (L, D of its equations 4 to 7).
_WIDTH, _LAYERS = 512, 4
_LISTS_AT_ONCE = 256
# Numbers of the features that are held at once; more columns than that take turns.
_FEATURES_AT_ONCE = 32_000_000
# The most lists that the probe is asked about, and users whose numbers are guessed together.
_PROBED_LISTS, _GUESSING_USERS = 100_000, 50_000


def held_out_edges(edges: Pairs, split: Split) -> Finding:
    """Share of test and validation rows that a model meets as edges of its graph.

    Args:
        edges: what the graph is built from.
        split: where the held-out rows are.
    """
    test, valid = visible_shares(split, edges)
    measurements = (
        Measurement("test rows that are edges", test),
        Measurement("validation rows", valid),
    )
    if not test and not valid:
        return _EDGES.ok("no held-out row is an edge of the graph", *measurements)
    return _EDGES.leak(
        "the graph joins users with the very items that they are asked for; to be one step away "
        "is the answer",
        *measurements,
        repair="build the graph from train rows alone (protocol honest)",
    )


def held_out_texts(texts: Pairs | None, split: Split) -> Finding:
    """Share of test and validation rows whose own words are trained on.

    Args:
        texts: user and item of each training text: explanations, reviews.
        split: where the held-out rows are.
    """
    if texts is None or not len(texts.user_index):
        return _TEXTS.not_applicable("no text of a user about an item is trained on")
    test, valid = visible_shares(split, texts)
    measurements = (
        Measurement("test rows with a training text", test),
        Measurement("validation rows", valid),
    )
    if not test and not valid:
        return _TEXTS.ok("every training text belongs to a train row", *measurements)
    return _TEXTS.leak(
        "the text model reads what users wrote about the items they are asked for",
        *measurements,
        repair="leave each text in its interaction's part (protocol honest, prompts.explanations "
        "= interaction)",
    )


def visible_shares(split: Split, shown: Pairs) -> tuple[float, float]:
    """Share of test and of validation rows that are among the shown pairs and did not have to be.

    A pair that stands in the train rows as well is known in any case, and does not count.
    """
    num_items = split.dataset.num_items
    known = np.sort(pair_keys(split.train, num_items))
    told = known if shown is split.train else np.sort(pair_keys(shown, num_items))

    def share(held_out: Interactions) -> float:
        keys = pair_keys(held_out, num_items)
        keys = keys[among(keys, told)]
        return float((~among(keys, known)).sum() / max(len(held_out), 1))

    return share(split.test), share(split.valid)


def data_as_asked(dataset: Dataset, protocol: Protocol) -> Finding:
    """Item numbers and filters of the data set, against those of the protocol.

    ``fit`` refuses other data. An audit looks at them all the same: it is there to say what leaks,
    and how much.
    """
    try:
        check_data(protocol, dataset)
    except DataError as error:
        return _ASKED.warning(
            str(error), repair="import the data set as the protocol asks, or name another protocol"
        )
    return _ASKED.ok(f"item numbers and filters are those of {protocol.title}")


def telling_numbers(held_out: Interactions, known: Ragged, num_items: int) -> Finding:
    """How often the rule of :func:`next_numbers` finds the held-out item, against chance.

    Chance is the rule's own hit rate when the items are numbered anew at random, 20 times, on a
    seeded sample of the users.

    Args:
        held_out: rows to be found.
        known: what each user had before.
        num_items: I.
    """
    if not len(held_out) or num_items < 2:
        return _NUMBERS.not_applicable("no held-out row, nothing to guess")
    numbers = np.arange(num_items)
    found = _rule_metrics(held_out, known, numbers)
    chance, spread = _rule_by_chance(held_out, known, num_items)
    measurements = [Measurement(name, value, name) for name, value in found.items()]
    measurements.append(Measurement("HR@10 by chance", chance, "HR@10"))
    if found["HR@10"] <= chance + _SIGMAS * spread:
        return _NUMBERS.ok("an item's number says nothing about when it was taken", *measurements)
    return _NUMBERS.leak(
        "guessing 'largest number so far + 1, then last number + 1, 2, ...' finds held-out items: "
        "the items are numbered in the order in which they were taken, test rows included",
        *measurements,
        repair="number the items by a shuffle: import with --id-order shuffled",
    )


def next_numbers(known: Ragged, users: np.ndarray, k: int = _K) -> Recommendations:
    """Largest number of the history + 1, then last number + 1, + 2, ...; seen items left out.

    Args:
        known: item numbers by user, in order of time.
        users: distinct, each with a history.
        k: places of a list. Numbers beyond the catalogue are listed as well, and are never right.
    """
    own = known.take(users)
    last = own.values[own.offsets[1:] - 1].astype(np.int64)
    largest = np.maximum.reduceat(own.values, own.offsets[:-1]).astype(np.int64)
    guesses = np.column_stack([largest + 1, last[:, None] + np.arange(1, 3 * k)])
    stride = int(guesses.max(initial=0)) + 1
    seen = np.sort(own.row_of_value * stride + own.values)
    usable = ~among(np.arange(len(users))[:, None] * stride + guesses, seen)
    usable[:, 1:] &= guesses[:, 1:] != guesses[:, :1]
    usable &= usable.cumsum(axis=1) <= k
    rank = usable.cumsum(axis=1)[usable]
    owners = np.repeat(users, usable.sum(axis=1)).astype(np.int32)
    return Recommendations(
        owners, guesses[usable].astype(np.int32), rank.astype(np.int32), -rank.astype(np.float32)
    )


def _rule_metrics(held_out: Interactions, known: Ragged, numbers: np.ndarray) -> dict[str, float]:
    """The rule's metrics when item ``i`` bears ``numbers[i]``."""
    # The longest list first: the headline quotes the first measurement.
    metrics = {"HR": hit_rate, "NDCG": ndcg}
    values: dict[str, list[np.ndarray]] = {f"{name}@{k}": [] for k in (10, 5) for name in metrics}
    for hits in _rule_hits(held_out, known, numbers):
        for name, found in values.items():
            metric, _, k = name.partition("@")
            found.append(metrics[metric](hits, int(k)))
    return {name: float(np.concatenate(found).mean()) for name, found in values.items()}


def _rule_hits(held_out: Interactions, known: Ragged, numbers: np.ndarray) -> Iterator[Hits]:
    """What the rule finds of some users at a time, in their order."""
    rows = held_out.take(np.argsort(held_out.user_index, kind="stable"))
    users = distinct(rows.user_index)
    for start in range(0, len(users), _GUESSING_USERS):
        asked = users[start : start + _GUESSING_USERS]
        own = slice(*np.searchsorted(rows.user_index, [asked[0], asked[-1] + 1]))
        wanted = Interactions(rows.user_index[own], numbers[rows.item_index[own]])
        filled = np.flatnonzero(known.lengths[asked])
        histories = known.take(asked[filled])
        lists = next_numbers(
            Ragged(histories.offsets, numbers[histories.values]), np.arange(len(filled))
        )
        owners = asked[filled][lists.user_index]
        yield hits_from_recommendations(replace(lists, user_index=owners), wanted)


def _rule_by_chance(held_out: Interactions, known: Ragged, num_items: int) -> tuple[float, float]:
    """HR@10 of the rule under random numbers, and its standard deviation."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(np.isin(held_out.user_index, _sample_of(held_out.user_index, rng)))
    sample = held_out.take(rows)
    rates = [
        _rule_metrics(sample, known, rng.permutation(num_items))["HR@10"] for _ in range(_SHUFFLES)
    ]
    chance = float(np.mean(rates))
    # Popular items beside each other hit for many users at once, few users hit in whole numbers:
    # the spread between numberings knows the first, the binomial the second.
    binomial = np.sqrt(max(chance, 1 / len(rows)) / len(rows))
    return chance, float(max(np.std(rates), binomial))


def _sample_of(users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(distinct(users))[:_USERS]


def untrained_probe(
    edges: Pairs, split: Split, lists: CandidateLists, positives: np.ndarray, seed: int = 0
) -> Finding:
    """HR@10 of raw propagated features (ELMRec eqs. 4-7, L = 4, D = 512) in the direct task.

    Args:
        edges: what the graph in use is built from.
        split: its train rows make the graph to compare with.
        lists: candidates of Q held-out rows.
        positives: the item to be found in each list, ``int[Q]``.
        seed: of the random features.
    """
    if not len(lists):
        return _PROBE.not_applicable("no held-out row, nothing to find")
    if len(lists) > _PROBED_LISTS:
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(len(lists), _PROBED_LISTS, replace=False, shuffle=False))
        finding = untrained_probe(edges, split, lists.take(rows), positives[rows], seed)
        sample = sample_text(_PROBED_LISTS, len(lists), "lists", seed)
        return replace(finding, sample=sample)
    honest = probe_hits(split.train, split, lists, positives, seed)
    in_use = (
        honest if _same_pairs(edges, split) else probe_hits(edges, split, lists, positives, seed)
    )
    gain = in_use.astype(np.float64) - honest
    measurements = (
        Measurement("HR@10 on the graph in use", float(in_use.mean()), "HR@10"),
        Measurement("HR@10 on train rows", float(honest.mean()), "HR@10"),
        Measurement("HR@10 by chance", _probe_by_chance(lists), "HR@10"),
    )
    if gain.mean() <= _SIGMAS * max(gain.std(), 1 / len(gain)) / np.sqrt(len(gain)):
        return _PROBE.ok("the graph in use tells no more than train rows do", *measurements)
    return _PROBE.leak(
        "random numbers that nobody trained find held-out items, because the graph in use knows "
        "them: any model that reads it will look good",
        *measurements,
        repair="build the graph from train rows alone (protocol honest)",
    )


def probe_hits(
    edges: Pairs, split: Split, lists: CandidateLists, positives: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Whether the probe finds each list's positive among the first 10, ``bool[Q]``."""
    num_users, num_items = split.dataset.num_users, split.dataset.num_items
    rows = Interactions(edges.user_index, edges.item_index)
    graph = BipartiteGraph.from_interactions(rows, num_users, num_items)
    scores = np.zeros(len(lists.items), dtype=np.float32)
    width = min(_WIDTH, max(1, _FEATURES_AT_ONCE // graph.num_nodes))
    for first in range(0, _WIDTH, width):
        columns = min(width, _WIDTH - first)
        features = random_features(graph, columns, _LAYERS, 1.0, seed + first)
        _add_dot_products(scores, features, num_users, lists)
    return ranks_from_scores(lists, scores, positives) <= _K


def _add_dot_products(
    scores: np.ndarray, features: np.ndarray, num_users: int, lists: CandidateLists
) -> None:
    """Add the dot products of each list's user and items to ``float32[candidates]``."""
    of_users, of_items = features[:num_users], features[num_users:]
    for length in distinct(lists.lists.lengths):
        rows = np.flatnonzero(lists.lists.lengths == length)
        for start in range(0, len(rows), _LISTS_AT_ONCE):
            asked = rows[start : start + _LISTS_AT_ONCE]
            places = lists.offsets[asked, None] + np.arange(length)  # [lists, length]
            users = of_users[lists.user_index[asked]]
            items = of_items[lists.items[places]]
            scores[places] += (items @ users[:, :, None])[:, :, 0]


def _same_pairs(edges: Pairs, split: Split) -> bool:
    if edges is split.train:
        return True
    num_items = split.dataset.num_items
    mine, train = (distinct(pair_keys(rows, num_items)) for rows in (edges, split.train))
    return np.array_equal(mine, train)


def _probe_by_chance(lists: CandidateLists) -> float:
    return float(np.minimum(1.0, _K / lists.lists.lengths).mean())


def later_events(split: Split) -> Finding:
    """Train rows that are newer than the test rows they help to predict.

    A user's own later rows are a leak wherever a split follows time. Those of other users are a
    leak under a split by time; under leave-one-out they come with the split, and a warning says
    how many there are. A ratio split deals rows without regard to time.
    """
    train, test = split.train, split.test
    if train.timestamp is None or test.timestamp is None:
        return _LATER.not_applicable(_NO_TIMES)
    if not len(train) or not len(test):
        return _LATER.not_applicable("a part has no rows")
    own = _own_later(train, test)
    later = 1 - np.searchsorted(np.sort(train.timestamp), test.timestamp, "right") / len(train)
    measurements = (
        Measurement("train rows newer than a test row, on average", float(later.mean())),
        Measurement("test rows with newer train rows of their own user", own),
    )
    if not later.any():
        return _LATER.ok("nothing is learned from later than it is asked about", *measurements)
    repair = "split by time (--split time, protocol temporal) to predict the future from the past"
    meaning = "what others did later is known in training: trends and new items are no surprise"
    if split.kind == "time" or (split.kind == "leave-one-out" and own):
        return _LATER.leak(
            f"{meaning}, although the split says otherwise", *measurements, repair=repair
        )
    return _LATER.warning(f"{meaning}; this comes with {split.kind}", *measurements, repair=repair)


def _own_later(train: Interactions, test: Interactions) -> float:
    """Share of test rows with a newer train row of the same user."""
    assert train.timestamp is not None and test.timestamp is not None
    num_users = 1 + int(max(train.user_index.max(), test.user_index.max()))
    newest = np.full(num_users, np.iinfo(np.int64).min)
    np.maximum.at(newest, train.user_index, train.timestamp)
    return float((newest[test.user_index] > test.timestamp).mean())


def tie_order(split: Split) -> Finding:
    """Whether rows of equal time stand in the order of their ids or numbers.

    Where they do, the order that a split by last row trusts is the order of the ids, and the
    held-out item is often the largest of its day.
    """
    rows, ids = split.dataset.interactions, split.dataset.items.ids
    if rows.timestamp is None:
        return _TIES.not_applicable(_NO_TIMES)
    tied = np.flatnonzero((np.diff(rows.user_index) == 0) & (np.diff(rows.timestamp) == 0))
    places = np.empty(len(ids), dtype=np.int64)
    places[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    by_number, number_steps = _ascending(rows.item_index, tied)
    by_id, id_steps = _ascending(places[rows.item_index], tied)
    if not id_steps:
        return _TIES.not_applicable("no two rows of a user share a time")
    measurements = (
        Measurement("ties in ascending order of the raw id", by_id),
        Measurement("of the number in use", by_number),
        Measurement(
            "users whose last row shares its time with the one before", _last_tied(rows, tied)
        ),
        Measurement("such rows of all", float(len(tied)), "rows"),
    )
    repair = "use exact times, or import with --shuffle-ties"
    if _far_from_half(by_number, number_steps):
        meaning = "rows of equal time follow the item numbers that a model reads: the last one, "
        return _TIES.leak(
            meaning + "which is held out, has the largest", *measurements, repair=repair
        )
    if _far_from_half(by_id, id_steps):
        meaning = "rows of equal time follow their raw ids; numbers in use do not show it, "
        return _TIES.warning(
            meaning + "but the order within a day is no order of events",
            *measurements,
            repair=repair,
        )
    return _TIES.ok("rows of equal time follow neither id nor number", *measurements)


def _ascending(values: np.ndarray, first: np.ndarray) -> tuple[float, int]:
    """Share of steps up among the steps from each given row to the next, and their number."""
    step = values[first + 1].astype(np.int64) - values[first]
    moved = step[step != 0]
    return (float((moved > 0).mean()) if len(moved) else 0.0), len(moved)


def _last_tied(rows: Interactions, tied: np.ndarray) -> float:
    """Share of users whose last row is the second of a tied pair of rows."""
    last = np.append(np.flatnonzero(np.diff(rows.user_index)), len(rows) - 1)
    ends_tied = np.zeros(len(rows), dtype=bool)
    ends_tied[tied + 1] = True
    return float(ends_tied[last].mean())


def _far_from_half(share: float, trials: int) -> bool:
    return trials > 0 and abs(share - 0.5) > _SIGMAS * 0.5 / np.sqrt(trials)


def repeated_rows(split: Split) -> Finding:
    """Held-out rows whose user and item occur in an earlier part.

    The same row twice, time included, is a leak, and so is a repetition where there are no times
    to tell the two apart; taking an item again at another time is a warning.
    """
    if not len(split.test) and not len(split.valid):
        return _TWICE.not_applicable("no held-out row")
    pairs, rows = _repeated_shares(split)
    measurements = (
        Measurement("held-out rows of a known pair", pairs),
        Measurement("of the same time as well", rows),
    )
    repair = "keep one row of each user and item: import with --duplicates last"
    if rows:
        return _TWICE.leak(
            "the same row is learned from and asked about: to remember is to win",
            *measurements,
            repair=repair,
        )
    if pairs:
        return _TWICE.warning(
            "users took held-out items before: a recommender of unseen items must miss them, and "
            "the graph knows the pair",
            *measurements,
            repair=repair,
        )
    return _TWICE.ok("no held-out row repeats a user and item of an earlier part", *measurements)


def _repeated_shares(split: Split) -> tuple[float, float]:
    """Share of held-out rows whose pair occurs in a part before theirs, and of those whose time
    does as well; without times they are the same."""
    num_items = split.dataset.num_items
    earlier = np.sort(pair_keys(split.train, num_items))
    num_rows = num_pairs = num_times = 0
    for part, before in ((split.valid, (split.train,)), (split.test, (split.train, split.valid))):
        keys = pair_keys(part, num_items)
        again = part.take(np.flatnonzero(among(keys, earlier)))
        num_rows, num_pairs = num_rows + len(part), num_pairs + len(again)
        num_times += _num_at_same_time(again, before, num_items)
        earlier = np.sort(np.concatenate([earlier, keys]))
    return num_pairs / num_rows, num_times / num_rows


def _num_at_same_time(again: Interactions, before: tuple[Interactions, ...], num_items: int) -> int:
    """How many of some rows, all of known pairs, stand in earlier parts with their time as well."""
    if again.timestamp is None:
        return len(again)
    pairs, moments = distinct(pair_keys(again, num_items)), distinct(again.timestamp)

    def keys(rows: Interactions) -> np.ndarray:
        """One number for each pair and time that are both among those in question."""
        assert rows.timestamp is not None
        named = pair_keys(rows, num_items)
        chosen = among(named, pairs) & among(rows.timestamp, moments)
        place = np.searchsorted(pairs, named[chosen])
        return place * len(moments) + np.searchsorted(moments, rows.timestamp[chosen])

    known = np.sort(np.concatenate([keys(rows) for rows in before]))
    return int(among(keys(again), known).sum())
