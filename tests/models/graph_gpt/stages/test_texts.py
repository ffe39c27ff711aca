"""Which texts there are, and how they become answers."""

from __future__ import annotations

from dataclasses import replace

from tests.models.graph_gpt.stages.conftest import tiny_split, with_texts

from edgewise.data.dataset import Catalog
from edgewise.data.splits import Split
from edgewise.models.graph_gpt.config import ContentConfig
from edgewise.models.graph_gpt.stages.content import collect_texts, encode_texts, held_out_reasons

CATALOG = Catalog(
    title=("Horn", "", " Big\n drum "),
    brand=("Toot", "", ""),
    categories=(("Music", "Brass"), (), ("Music", "Music")),
    description=("", "", ""),
)


def reviewed() -> Split:
    split = tiny_split([[0, 1, 2]], valid=[(0, 2), (0, 1)], catalog=CATALOG, num_items=3)
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
