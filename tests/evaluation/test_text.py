"""Text metrics against hand-worked fractions and the libraries' own corpus functions."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from sacrebleu.metrics.bleu import BLEU

from edgewise.errors import EdgewiseError
from edgewise.evaluation.metrics import text_metrics
from edgewise.evaluation.statistics import Bootstrap

TEXTS = ["the strings sound very warm and bright", "great sound", "a solid stand for the price"]
REFERENCES = ["the strings sound warm and very bright", "great tone", "a solid stand, good price"]


def metrics_of(texts, references):
    return {name: e.mean for name, e in text_metrics(texts, references)[1].items()}


def test_perfect_texts():
    scores = metrics_of(REFERENCES, REFERENCES)
    assert scores == pytest.approx(dict.fromkeys(scores, 100))
    assert set(scores) == {"BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "Distinct"}


def test_fractions_worked_by_hand():
    # 3 of 4 words match; 1 of 3 written pairs (the cat) is among the reference's 4.
    scores = metrics_of(["the cat sat down"], ["the cat has just sat"])
    brevity = math.exp(1 - 5 / 4)
    assert scores["BLEU-1"] == pytest.approx(100 * brevity * 3 / 4)
    assert scores["BLEU-4"] == 0
    assert scores["ROUGE-1"] == pytest.approx(100 * 2 * 3 / (4 + 5))
    assert scores["ROUGE-2"] == pytest.approx(100 * 2 * 1 / (3 + 4))
    assert scores["ROUGE-L"] == pytest.approx(100 * 2 * 3 / (4 + 5))


@pytest.mark.parametrize("order", [1, 4])
def test_bleu_equals_the_librarys_corpus_score(order):
    expected = BLEU(max_ngram_order=order, smooth_method="none").corpus_score(TEXTS, [REFERENCES])
    assert metrics_of(TEXTS, REFERENCES)[f"BLEU-{order}"] == pytest.approx(expected.score)


def test_empty_texts_score_nothing():
    table, metrics = text_metrics(["", ""], ["good strings", "bad strings"])
    assert {name: e.mean for name, e in metrics.items()} == {
        "BLEU-1": 0,
        "BLEU-4": 0,
        "ROUGE-1": 0,
        "ROUGE-2": 0,
        "ROUGE-L": 0,
        "Distinct": 50,
    }
    assert table["ROUGE-1"].to_list() == [0, 0]


def test_an_empty_text_costs_brevity():
    half = metrics_of(["good warm strings", ""], ["good warm strings"] * 2)
    assert half["BLEU-1"] == pytest.approx(100 * math.exp(1 - 6 / 3))
    assert half["ROUGE-L"] == pytest.approx(50)


def test_one_sentence_for_everybody_is_unmasked():
    assert metrics_of(["good"] * 3, REFERENCES)["Distinct"] == pytest.approx(100 / 3)


def test_intervals_hold_the_value_and_follow_the_seed():
    table, metrics = text_metrics(TEXTS, REFERENCES)
    for name in ("BLEU-1", "ROUGE-1", "ROUGE-L"):
        estimate = metrics[name]
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.mean < estimate.high
    assert metrics["Distinct"].low is None
    assert table.columns == ["text", "reference", "ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert text_metrics(TEXTS, REFERENCES)[1] == metrics
    few = [text_metrics(TEXTS, REFERENCES, Bootstrap(resamples=3, seed=s))[1] for s in range(5)]
    assert len({each["BLEU-1"].low for each in few}) > 1


@pytest.mark.parametrize("texts", [[], ["one"]])
def test_missing_texts_are_refused(texts):
    references = ["one", "two"] if texts else []
    with pytest.raises(EdgewiseError, match=f"{len(texts)} texts against {len(references)}"):
        text_metrics(texts, references)


def test_importing_the_evaluation_loads_neither_torch_nor_text_libraries():
    code = (
        "import sys, edgewise.evaluation.evaluate, edgewise.evaluation.report;"
        "print([m for m in ('torch', 'sacrebleu', 'rouge_score', 'nltk') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_hopeless_texts_before_a_good_one():
    """rouge-score gives the whole number 0 for no overlap, and a fraction otherwise."""
    _, metrics = text_metrics(["x"] * 150 + ["a b"], ["y"] * 150 + ["a c"])
    assert metrics["ROUGE-1"].mean == pytest.approx(50 / 151)
