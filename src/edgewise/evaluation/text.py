"""How close written explanations come to what users wrote.

All scores are percentages, as in the papers' tables. N is the number of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from edgewise.errors import EdgewiseError
from edgewise.evaluation.intervals import Bootstrap, Estimate, bootstrap_means

_MAX_ORDER = 4
_ROUGE = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}


def text_metrics(
    texts: Sequence[str], references: Sequence[str], bootstrap: Bootstrap | None = None
) -> tuple[pl.DataFrame, dict[str, Estimate]]:
    """BLEU-1, BLEU-4, ROUGE-1/2/L (F) and the share of distinct texts.

    BLEU is sacrebleu's over the whole corpus (its own ``13a`` tokens, case kept, no smoothing), so
    it has no value for a single pair. ROUGE is rouge-score's mean over pairs (no stemming); it
    reads the letters a-z and digits only. ``Distinct`` unmasks a model that writes one sentence
    for everybody, which the other scores may like.

    Args:
        texts: what a model wrote, N strings; an empty one scores 0.
        references: what users wrote, N strings.
        bootstrap: how intervals are made.

    Returns:
        A table with one row a pair (``text, reference, ROUGE-...``), and each metric's estimate.
    """
    if len(texts) != len(references) or not texts:
        raise EdgewiseError(
            f"{len(texts)} texts against {len(references)} references: give one text for each "
            "reference, and at least one"
        )
    bootstrap = bootstrap or Bootstrap()
    rouge = _rouge(texts, references)
    table = pl.DataFrame({"text": list(texts), "reference": list(references), **rouge})
    estimates = bootstrap_means(table.select(*_ROUGE).to_numpy(), bootstrap)
    metrics = _bleu(texts, references, bootstrap) | dict(zip(_ROUGE, estimates, strict=True))
    return table, metrics | {"Distinct": Estimate(100 * len(set(texts)) / len(texts))}


def _rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, list[float]]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(_ROUGE.values()))
    scores = [scorer.score(*pair) for pair in zip(references, texts, strict=True)]
    return {name: [100.0 * s[key].fmeasure for s in scores] for name, key in _ROUGE.items()}


def _bleu(
    texts: Sequence[str], references: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Estimate]:
    counts = _ngram_counts(texts, references)
    whole, resampled = counts.sum(axis=0), bootstrap.resampled_sums(counts)

    def estimate(order: int) -> Estimate:
        scores = np.array([_corpus_bleu(row, order) for row in resampled])
        return bootstrap.estimate(_corpus_bleu(whole, order), scores)

    return {"BLEU-1": estimate(1), "BLEU-4": estimate(_MAX_ORDER)}


def _ngram_counts(texts: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Matched and written n-grams of orders 1-4, and both lengths, ``int64[N, 10]``.

    Corpus BLEU is a function of their sums, so a resample of pairs is a resample of these rows.
    """
    from sacrebleu.metrics.bleu import BLEU

    # effective_order changes a sentence's score, not its counts; without it sacrebleu warns.
    scorer = BLEU(max_ngram_order=_MAX_ORDER, effective_order=True)
    pairs = zip(texts, references, strict=True)
    scores = [scorer.sentence_score(text, [reference]) for text, reference in pairs]
    return np.array([[*s.counts, *s.totals, s.sys_len, s.ref_len] for s in scores])


def _corpus_bleu(counts: np.ndarray, order: int) -> float:
    from sacrebleu.metrics.bleu import BLEU

    numbers = [int(number) for number in counts]
    matched, written = numbers[:order], numbers[_MAX_ORDER : _MAX_ORDER + order]
    text_length, reference_length = numbers[-2:]
    return BLEU.compute_bleu(
        matched, written, text_length, reference_length, max_ngram_order=order
    ).score
