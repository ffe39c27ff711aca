"""Which texts there are, items that share a name, and the prompts that ask for either."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.graph_gpt.stages.conftest import (
    ALL,
    config_of,
    prompts_of,
    read,
    stage,
    tiny_split,
    token_space,
    with_texts,
)

from edgewise.data.dataset import Catalog
from edgewise.data.importing import ImportOptions, read_dataset
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split, ratio_split
from edgewise.models.graph_gpt.batch import IGNORED, PromptBatch
from edgewise.models.graph_gpt.config import ContentConfig
from edgewise.models.graph_gpt.prompts import explanation_prompt
from edgewise.models.graph_gpt.stages import build_stage
from edgewise.models.graph_gpt.stages.content import (
    SharedLists,
    SharedName,
    collect_texts,
    content_examples,
    encode_texts,
    held_out_reasons,
    shared_names,
)
from edgewise.models.graph_gpt.tokens import TokenSpace

CATALOG = Catalog(
    title=("Horn", "Drum", "Lute"),
    brand=("Toot", "Toot", ""),
    categories=(("Music", "Loud"), ("Music", "Loud"), ("Music",)),
    description=("Brass.", "", ""),
)
SPARSE = Catalog(
    title=("Horn", "", " Big\n drum "),
    brand=("Toot", "", ""),
    categories=(("Music", "Brass"), (), ("Music", "Music")),
    description=("", "", ""),
)
END = "<|endoftext|>"


def reviewed() -> Split:
    split = tiny_split([[0, 1, 2]], valid=[(0, 2), (0, 1)], catalog=SPARSE, num_items=3)
    train = with_texts(split.train, ["Loud. I like it.", "", "Dull"], ["", "Nice", ""])
    valid = with_texts(split.valid, ["Secret.", "Hidden."], ["", ""])
    return replace(split, train=train, valid=valid)


def table(split: Split, config: ContentConfig) -> dict[str, list[tuple[int, int, str]]]:
    return {
        texts.kind: list(zip(texts.user.tolist(), texts.item.tolist(), texts.text, strict=True))
        for texts in collect_texts(split, config)
    }


def test_every_text_with_its_user_and_item():
    assert table(reviewed(), ContentConfig()) == {
        "title": [(-1, 0, "Horn"), (-1, 2, "Big drum")],
        "brand": [(-1, 0, "Toot")],
        "categories": [(-1, 0, "Music, Brass"), (-1, 2, "Music")],
        "description": [],
        "review": [(0, 0, "Loud. I like it."), (0, 2, "Dull")],
        "reason": [(0, 0, "Loud."), (0, 1, "Nice"), (0, 2, "Dull")],
    }


def test_kinds_are_chosen_by_the_configuration():
    split = reviewed()
    assert list(table(split, ContentConfig(contents=False))) == ["review", "reason"]
    kinds = ["title", "brand", "categories", "description"]
    assert list(table(split, ContentConfig(reviews=False))) == kinds


def test_held_out_reasons_are_of_pairs_without_a_train_row():
    split = reviewed()
    assert len(held_out_reasons(split)) == 0, "both pairs are train rows too"
    apart = replace(split, train=split.train.take(split.train.item_index[:1]))
    assert held_out_reasons(apart).text == ["Secret.", "Hidden."]


def test_answers_begin_with_a_space_and_end_unless_cut(tokens):
    whole, cut = encode_texts(tokens, ["Big drum", "Big drum " * 40], 12).rows()
    assert tokens.tokenizer.decode(whole[:-1]) == " Big drum"
    assert whole[-1] == tokens.end_token
    assert len(cut) == 12 and tokens.end_token not in cut
    assert len(encode_texts(tokens, [], 12)) == 0


def lists_of(*sizes: int, window: int = 4, seed: int = 0) -> SharedLists:
    starts = np.cumsum([0, *sizes])
    rows = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=False)]
    return SharedLists(Ragged.of_rows(rows), window, seed)


def test_names_of_two_items_and_more_but_not_of_all():
    catalog = Catalog(
        title=("",) * 4,
        brand=("Toot", "", "Toot", "Solo"),
        categories=(("Music", "Brass"), ("Music", "Brass", "Brass"), ("Music", ""), ("Music",)),
        description=("",) * 4,
    )
    assert list(shared_names(catalog)) == [
        SharedName("shared_brand", "Toot", [0, 2]),
        SharedName("shared_category", "Brass", [0, 1]),
    ]
    assert list(shared_names(Catalog.empty(4))) == []


def test_a_last_single_item_is_joined_by_another():
    assert lists_of(2, 9, 5).windows.tolist() == [
        [0, 0, 2],
        *([1, 0, 4], [1, 4, 8], [1, 7, 9]),
        *([2, 0, 4], [2, 3, 5]),
    ]


@given(st.lists(st.integers(2, 30), min_size=1, max_size=4), st.integers(2, 7))
def test_windows_cover_every_item(sizes, window):
    lists = lists_of(*sizes, window=window)
    seen: dict[int, set[int]] = {}
    for number, (owner, start, end) in enumerate(lists.windows.tolist()):
        items = lists.items_of(number, epoch=3).tolist()
        assert 2 <= len(items) == end - start <= window and len(set(items)) == len(items)
        seen.setdefault(owner, set()).update(items)
    assert [seen[n] for n in range(len(sizes))] == [set(row.tolist()) for row in lists.items.rows()]


def test_lists_are_shuffled_anew_each_epoch_from_the_seed():
    lists = lists_of(20, window=20)
    orders = [lists.items_of(0, epoch).tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert lists_of(20, window=20, seed=1).items_of(0, 0).tolist() != orders[0]


@pytest.fixture(scope="module")
def worked():
    split = tiny_split([[0, 1]], valid=[(0, 2)], catalog=CATALOG, num_items=3)
    train = with_texts(split.train, ["Loud. I like it.", ""], ["Nice", ""])
    return replace(split, train=train, valid=with_texts(split.valid, ["Soft."], [""]))


def answered(tokens: TokenSpace, batch: PromptBatch) -> list[str]:
    """Prompt and answer of each row, the answer read off the targets alone."""
    rows = []
    for row in range(len(batch)):
        places = (batch.targets[row] != IGNORED).nonzero().flatten()
        first, last = int(places[0]), int(places[-1])
        assert last - first == len(places) - 1 and last + 1 == int(batch.attention_mask[row].sum())
        prompt = read(tokens, batch.input_ids[row, : first + 1])
        rows.append(prompt + "|" + tokens.tokenizer.decode(batch.targets[row, places].tolist()))
    return rows


def epoch(data, tokens: TokenSpace, number: int = 0) -> Counter[str]:
    steps = range(number * data.steps_per_epoch, (number + 1) * data.steps_per_epoch)
    batches = [data.batch(step, ALL) for step in steps]
    return Counter(
        text
        for batch in batches
        for text in (answered(tokens, batch) if batch.space == "text" else ["events"])
    )


def test_worked_example(worked):
    tokens = token_space(worked)
    data = stage("content", worked, tokens=tokens)
    found = Counter(text.replace(" [i1] [i0]", " [i0] [i1]") for text in epoch(data, tokens))
    assert found == Counter(
        [
            f"The title of [i0] is :| Horn{END}",
            f"The title of [i1] is :| Drum{END}",
            f"The title of [i2] is :| Lute{END}",
            f"The brand of [i0] is :| Toot{END}",
            f"The brand of [i1] is :| Toot{END}",
            f"The categories of [i0] are :| Music, Loud{END}",
            f"The categories of [i1] are :| Music, Loud{END}",
            f"The categories of [i2] are :| Music{END}",
            f"The description of [i0] is :| Brass.{END}",
            f" [u0] reviewed [i0] in these words :| Loud. I like it.{END}",
            f" [u0] gave this reason for buying [i0] :| Nice{END}",
            f"The items [i0] [i1] have one brand in common :| Toot{END}",
            f"The items [i0] [i1] have one category in common :| Loud{END}",
            "events",
        ]
    )
    assert epoch(data, tokens, 1).total() == 14
    (valid,) = data.valid_batches
    assert answered(tokens, valid) == [f" [u0] gave this reason for buying [i2] :| Soft.{END}"]


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ("contents", ("The title", "The brand", "The categories", "The description")),
        ("reviews", (" [u0] reviewed", " [u0] gave")),
        ("second_order", ("The items",)),
        ("events", ("events",)),
    ],
)
def test_each_kind_of_prompt_can_be_left_out(worked, switch, gone):
    tokens = token_space(worked)
    rest = epoch(stage("content", worked, f"content.{switch}=false", tokens=tokens), tokens)
    everything = epoch(stage("content", worked, tokens=tokens), tokens)

    def others(texts: Counter[str]) -> list[str]:
        kept = [text for text in texts if not text.startswith(gone)]
        return sorted(text.replace(" [i1] [i0]", " [i0] [i1]") for text in kept)

    assert (
        others(rest)
        == others(everything)
        == sorted(text.replace(" [i1] [i0]", " [i0] [i1]") for text in rest)
    )
    assert len(rest) < len(everything)


def test_explanations_are_asked_for_as_they_were_learned(worked):
    tokens = token_space(worked)
    learned = epoch(stage("content", worked, tokens=tokens), tokens)
    for kind, answer in (("reason", "Nice"), ("review", "Loud. I like it.")):
        prompt = read(tokens, explanation_prompt(0, 0, tokens, kind))
        assert f"{prompt}| {answer}{END}" in learned


def test_without_reviews_a_share_of_item_texts_validates(by_ratio, tokens):
    data = stage("content", by_ratio, "content.reviews=false", tokens=tokens)
    held_out = {text for b in data.valid_batches for text in answered(tokens, b)}
    assert len(held_out) == 4 * int(0.05 * 48)
    assert not held_out & set(epoch(data, tokens))
    bare = tiny_split([[0, 1]], catalog=CATALOG, num_items=3)
    assert stage("content", bare).valid_batches == [], "too few texts to spare one"


def test_held_out_reviews_validate_and_every_item_text_trains(by_ratio, tokens):
    data = stage("content", by_ratio, tokens=tokens)
    batches = data.valid_batches
    assert sum(map(len, batches)) == len(
        by_ratio.valid.review.to_frame().filter(
            (by_ratio.valid.review != "") | (by_ratio.valid.summary != "")
        )
    )
    titles = [text for text in epoch(data, tokens) if text.startswith("The title")]
    assert len(titles) == by_ratio.dataset.num_items


def test_long_texts_and_lists_are_cut_to_the_longest_input(by_ratio, tokens):
    settings = ("backbone.max_tokens=40", "content.max_text_tokens=500", "content.window=48")
    data = stage("content", by_ratio, *settings, tokens=tokens)
    widths = [data.batch(step, ALL).input_ids.shape[1] for step in range(data.steps_per_epoch)]
    assert 30 < max(widths) <= 40


def test_the_log_names_what_is_missing(caplog, by_ratio):
    bare = replace(by_ratio.train, review=None, summary=None)
    catalog = by_ratio.dataset.catalog
    described = replace(catalog, description=("",) * 48, brand=("",) * 48)
    dataset = replace(by_ratio.dataset, catalog=described)
    content_examples(replace(by_ratio, train=bare, dataset=dataset), config_of())
    (record,) = caplog.records
    assert record.message == (
        "demo has no brands, no descriptions, no review texts, no reasons for buying: "
        "left out of the content stage"
    )
    caplog.clear()
    content_examples(by_ratio, config_of())
    assert not caplog.records


def test_data_without_any_text_skips_the_stage(caplog):
    split = tiny_split([[0, 1], [2]])
    with caplog.at_level(logging.WARNING, "edgewise"):
        settings = config_of("content.events=false")
        assert build_stage("content", settings, split, token_space(split), None) is None
    assert caplog.records[-1].message == "tiny has no content: the content stage is left out"


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("gift_cards", None),
        ("musical_instruments", "no titles, no brands, no categories, no descriptions: left out"),
    ],
)
def test_real_data(real_data: Path, caplog, name, missing):
    split = ratio_split(read_dataset(real_data / name, ImportOptions()))
    tokens = token_space(split)
    data = stage("content", split, "training.content.batch_size=32", tokens=tokens)
    assert [missing in r.message for r in caplog.records] == [True] if missing else not caplog.text
    spaces = {data.batch(step, ALL).space for step in range(20)}
    assert spaces == {"text", "items"}
    for other in ("events", "predictive"):
        assert len(prompts_of(tokens, stage(other, split, tokens=tokens).batch(0, ALL))) == 16
