"""ELMRec as its users meet it: every variant fits, answers, repeats itself and refuses nonsense."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.models.elmrec.conftest import same_weights, small_elmrec
from tests.seals import edit
from transformers.modeling_outputs import BaseModelOutput

from edgewise.config import updated
from edgewise.data.item_lists import CandidateLists
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, ModelFolderError, UnknownIdError
from edgewise.files import kind_of
from edgewise.models.elmrec.prompts import SHORT_TEMPLATE
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.popularity import Popularity
from edgewise.recommender import Recommender
from edgewise.training.trainer import Trainer

USERS = np.arange(6)
PLAIN = ("prompts.tasks=direct,sequential", "training.epochs=1")


def answers(model: ELMRec) -> tuple[np.ndarray, np.ndarray]:
    lists = [np.array([0, 5, 9]), np.array([7]), np.arange(30)]
    scores = model.score_candidates(CandidateLists.from_lists(np.arange(3), lists))
    return model.recommend(USERS, 4).item_index, scores


@pytest.mark.parametrize(
    "overrides",
    [
        ("whole_words.direct=random", "whole_words.sequential=random"),
        ("whole_words.direct=none", "whole_words.sequential=none"),
        ("whole_words.sequential=graph",),
        ("whole_words.injection=prepending",),
        ("prompts.text_prompt=false",),
        ("prompts.num_prompt_embeddings=0",),
        ("graph.features=random",),
        ("graph.features=random", "graph.num_folds=3"),
        ("graph.features=trained", "graph.num_folds=0"),
        ("prompts.history_sampling=prefix", "training.gradient_accumulation=2"),
        ("prompts.ids=one-token", "prompts.user_vectors=true"),
        ("prompts.ids=one-token", "whole_words.injection=prepending"),
    ],
    ids=" ".join,
)
def test_every_variant_trains_and_repeats_itself(shop_split, overrides, tmp_path):
    model = small_elmrec(*PLAIN, *overrides).fit(shop_split)
    items, scores = answers(model)
    again = answers(model)
    assert np.array_equal(items, again[0]) and np.array_equal(scores, again[1])
    assert len(items) == 4 * len(USERS) and np.isfinite(scores).all() and (scores <= 0).all()
    model.save_pretrained(tmp_path / "model")
    loaded = answers(ELMRec.from_pretrained(tmp_path / "model"))
    assert np.array_equal(items, loaded[0]) and np.array_equal(scores, loaded[1])


def test_disorder_at_inference_does_not_depend_on_the_batch(shop_split):
    model = small_elmrec(*PLAIN, "whole_words.direct=random").fit(shop_split)
    lists = [np.array([0, 5, 9]), np.arange(4), np.arange(8)]
    together = model.score_candidates(CandidateLists.from_lists(np.arange(3), lists))
    alone = [
        model.score_candidates(CandidateLists.from_lists(np.array([user]), [row]))
        for user, row in enumerate(lists)
    ]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-4)


def test_it_is_a_recommender(fitted):
    assert isinstance(fitted, Recommender)
    assert repr(ELMRec()) == "ELMRec(not fitted)"
    assert "40 users, 48 items" in repr(fitted)
    assert fitted.tasks == ("explanation", "sequential", "direct")


def test_a_beam_as_wide_as_the_catalogue_is_exhaustive(fitted, shop_split):
    num_items = shop_split.dataset.num_items
    wide = with_decoding(fitted, num_beams=num_items, rerank_extra=0)
    found = wide.recommend(USERS, num_items)
    everything = CandidateLists.from_lists(USERS, [np.arange(num_items)] * len(USERS))
    scores = fitted.score_candidates(everything, task="sequential").reshape(len(USERS), -1)
    assert np.array_equal(fitted.score_items(USERS, fitted.data.histories.take(USERS)), scores)
    for user in USERS:
        seen = fitted.data.histories[user]
        unseen = np.setdiff1d(np.arange(num_items), seen)
        rows = found.user_index == user
        assert set(found.item_index[rows].tolist()) == set(unseen.tolist())
        assert found.score[rows] == pytest.approx(np.sort(scores[user, unseen])[::-1], abs=1e-4)
        assert found.score[rows] == pytest.approx(scores[user, found.item_index[rows]], abs=1e-4)


def test_filtering_after_the_search_needs_extra_candidates(fitted):
    """With few of them lists are short; with enough, and a full beam, nothing differs."""
    num_items, k = fitted.table.num_items, 5
    longest = max(len(fitted.data.histories[user]) for user in USERS)
    during = with_decoding(fitted, num_beams=num_items).recommend(USERS, k)
    late = with_decoding(fitted, num_beams=num_items, filtering="after", rerank_extra=longest)
    after = late.recommend(USERS, k)
    np.testing.assert_array_equal(after.item_index, during.item_index)
    few = with_decoding(late, rerank_extra=0)
    short = few.recommend(USERS, num_items - 1)
    for user in USERS:
        found = short.item_index[short.user_index == user]
        assert not set(found.tolist()) & set(fitted.data.histories[user].tolist())
        assert len(found) < num_items - 1


def with_decoding(model: ELMRec, **changes) -> ELMRec:
    model = copy.copy(model)
    model.config = updated(model.config, {"decoding": changes})
    return model


@pytest.mark.parametrize("filtering", ["during", "after"])
def test_denied_items_cost_no_room_whatever_the_filtering(fitted, filtering):
    model = with_decoding(fitted, filtering=filtering, rerank_extra=8)
    for seen in (True, False):
        first = model.recommend(USERS, 5, exclude_seen=seen)
        denied = np.unique(first.item_index)[:6]
        found = model.recommend(USERS, 5, exclude_seen=seen, deny=denied)
        assert not set(found.item_index.tolist()) & set(denied.tolist())
        only = model.recommend(USERS, 2, exclude_seen=False, allow=[3, 17])
        assert set(only.item_index.tolist()) == {3, 17} and len(only) == 2 * len(USERS)


def test_without_reranking_seen_items_may_come_back(fitted, shop_split):
    num_items = shop_split.dataset.num_items
    raw = with_decoding(fitted, num_beams=num_items, rerank=False).recommend(USERS, num_items)
    assert len(raw) == num_items * len(USERS)
    wide = with_decoding(fitted, num_beams=num_items)
    asked = wide.recommend(USERS, num_items, exclude_seen=False)
    assert np.array_equal(asked.item_index, raw.item_index)
    assert np.array_equal(asked.score, raw.score)


@torch.no_grad()
def test_exact_scores_are_the_decoders(as_printed):
    """Each candidate alone through the library: the log-likelihood of its tokens."""
    users, lists = np.array([2, 4]), [np.array([3, 17, 40]), np.array([5])]
    scores = as_printed.score_candidates(CandidateLists.from_lists(users, lists))
    prompts = as_printed._writer.direct(users, lists, SHORT_TEMPLATE["direct"])
    t5, expected = as_printed.network.t5, []
    for encoded in as_printed.encoded("direct", prompts, max_rows=1):
        for item in lists[encoded.rows.start]:
            target = as_printed.tokenizer(f"item_{item + 1}", add_special_tokens=False)["input_ids"]
            target = torch.tensor([[*target, as_printed.tokenizer.eos_token_id]])
            logits = t5(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded.states),
                attention_mask=encoded.mask,
                decoder_input_ids=t5.prepare_decoder_input_ids_from_labels(target),
            ).logits
            expected.append(logits.log_softmax(-1).gather(2, target[..., None]).sum().item())
    assert scores == pytest.approx(expected, abs=1e-4)


def test_histories_given_later_are_read_and_filtered(fitted, shop_split):
    newer = shop_split.known_before("test")
    found = fitted.recommend(USERS, 5, histories=newer)
    for user, item in zip(found.user_index, found.item_index, strict=True):
        assert item not in newer[user]
    lists = CandidateLists.from_lists(USERS, [np.arange(9)] * len(USERS))
    old, new = (
        fitted.score_candidates(lists, task="sequential", histories=h) for h in (None, newer)
    )
    assert not np.allclose(old, new)


def test_items_taken_since_training_move_a_users_graph_embedding(fitted, shop_split):
    lists = CandidateLists.from_lists(USERS, [np.arange(9)] * len(USERS))
    newer = shop_split.known_before("test")
    same, moved = (
        fitted._moved("direct", USERS, h.take(USERS)) for h in (fitted.data.histories, newer)
    )
    assert same is None
    for user, vector in zip(USERS, moved, strict=True):
        np.testing.assert_array_equal(vector, fitted.graph.new_user(newer[user]))
    old, repeated, new = (
        fitted.score_candidates(lists, task="direct", histories=histories)
        for histories in (None, fitted.data.histories, newer)
    )
    np.testing.assert_array_equal(old, repeated)
    assert not np.allclose(old, new)


def test_new_users_are_answered_from_their_items(fitted):
    histories = [np.array([3, 4]), np.array([8]), np.array([], dtype=np.int64)]
    found = fitted.recommend_new(histories, k=3)
    assert found.user_index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert not set(found.item_index[:3].tolist()) & {3, 4}
    lists = CandidateLists.from_lists(np.zeros(2, int), [np.arange(9)] * 2)
    first, second = fitted.score_candidates(lists, new_users=histories[:2]).reshape(2, -1)
    assert not np.allclose(first, second), "their embeddings come from their own items"
    assert len(fitted.recommend_new([], k=3)) == 0


def test_a_new_user_with_a_known_users_items_gets_his_embedding(fitted):
    history = fitted.data.histories[0]
    vector = fitted.graph.new_user(history)
    assert vector == pytest.approx(fitted.graph.features[0], abs=1e-3)


def test_explanations_are_lines_of_words(fitted):
    pairs = [(0, 1), (3, 2), (0, 1)]
    texts = fitted.explain(pairs)
    assert len(texts) == 3 and texts[0] == texts[2]
    assert all(isinstance(text, str) and "</s>" not in text for text in texts)
    assert fitted.explain([]) == []


def test_no_question_no_answer(fitted):
    assert len(fitted.recommend(np.array([], dtype=np.int64))) == 0
    assert len(fitted.score_candidates(CandidateLists.from_lists(np.array([]), []))) == 0


def test_an_empty_list_among_others_is_skipped(fitted):
    lists = [np.array([1, 2]), np.array([], dtype=np.int64), np.array([3])]
    assert len(fitted.score_candidates(CandidateLists.from_lists(np.arange(3), lists))) == 3


def test_nonsense_is_refused(fitted):
    with pytest.raises(ConfigError, match="not fitted yet"):
        ELMRec().recommend(USERS)
    with pytest.raises(ConfigError, match="k = 0"):
        fitted.recommend(USERS, 0)
    with pytest.raises(UnknownIdError, match="user_index 40: this model knows users 0 to 39"):
        fitted.recommend(np.array([0, 40]))
    with pytest.raises(UnknownIdError, match="item_index 48"):
        fitted.recommend_new([np.array([48])])
    with pytest.raises(UnknownIdError, match="item_index -1"):
        fitted.score_candidates(CandidateLists.from_lists(np.array([0]), [np.array([-1])]))
    with pytest.raises(UnknownIdError, match="user_index 99"):
        fitted.explain([(99, 0)])
    short = Ragged(np.array([0, 1]), np.array([1], dtype=np.int32))
    with pytest.raises(UnknownIdError, match="histories cover 1 users"):
        fitted.recommend(np.array([2]), histories=short)


def test_a_task_that_was_not_trained_is_named(shop_split):
    model = small_elmrec("prompts.tasks=direct").fit(shop_split)
    with pytest.raises(ConfigError, match="sequential task, only for direct: fit one with"):
        model.recommend(USERS)
    with pytest.raises(ConfigError, match="not trained for the explanation task"):
        model.explain([(0, 0)])


def test_equal_seeds_fit_equal_models(shop_split, fitted):
    assert same_weights(small_elmrec().fit(shop_split), fitted)
    assert not same_weights(small_elmrec("seed=1").fit(shop_split), fitted)


def test_a_stopped_fit_resumes_to_the_same_weights(shop_split, tmp_path, monkeypatch):
    step = Trainer._step

    def stopping(trainer, number):
        if number == trainer.data.steps_per_epoch + 4:
            raise KeyboardInterrupt
        return step(trainer, number)

    two = (*PLAIN[:1], "training.epochs=2", "backbone.dropout=0.1")
    whole = small_elmrec(*two).fit(shop_split)
    monkeypatch.setattr(Trainer, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        small_elmrec(*two).fit(shop_split, folder=tmp_path)
    monkeypatch.undo()
    torch.manual_seed(99)
    resumed = small_elmrec(*two).fit(shop_split, folder=tmp_path, resume=True)
    assert same_weights(resumed, whole)
    ours, theirs = (each.stage_curves["training"] for each in (resumed, whole))
    assert ours.train_loss == theirs.train_loss
    assert ours.valid == theirs.valid


def test_a_checkpoint_holds_no_graph_features(shop_split, tmp_path):
    small_elmrec(*PLAIN).fit(shop_split, folder=tmp_path)
    saved = load_file(tmp_path / "training" / "checkpoint" / "model.safetensors")
    assert saved and not any(name.startswith("graph") for name in saved)


def test_the_plan_is_told_before_the_first_step(shop_split):
    plans = []

    def told(plan):
        plans.append(plan)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_elmrec("whole_words.sequential=incremental").fit(shop_split, on_plan=told)
    rows = dict(plans[0].rows)
    assert list(rows) == ["explanation", "sequential", "direct", "graph", "training"]
    assert rows["explanation"].endswith(" explained pairs")
    assert rows["sequential"] == "40 users, incremental whole words"
    assert rows["direct"] == "40 users, graph whole words"
    assert rows["graph"] == "spectral features, 2 folds"
    assert rows["training"].startswith("at most 1 epochs of ")
    assert plans[0].num_parameters > 100_000


def test_many_prompts_are_answered_as_few(fitted, monkeypatch):
    users = np.arange(12)
    together = fitted.recommend(users, 4)
    monkeypatch.setattr("edgewise.models.elmrec.recommender.TOKENS_AT_ONCE", 1)
    alone = fitted.recommend(users, 4)
    assert np.array_equal(together.item_index, alone.item_index)
    assert alone.score == pytest.approx(together.score, abs=1e-4)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "elmrec"
    fitted.save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_loaded_model_answers_alike(fitted, saved):
    loaded = ELMRec.from_pretrained(saved)
    assert loaded.config == fitted.config and loaded.tasks == fitted.tasks
    users = np.arange(8)
    ours, theirs = fitted.recommend(users, 5), loaded.recommend(users, 5)
    assert np.array_equal(ours.item_index, theirs.item_index)
    assert np.array_equal(ours.score, theirs.score)
    assert loaded.explain([(1, 2)]) == fitted.explain([(1, 2)])
    new = [np.array([4, 9])]
    assert np.array_equal(fitted.recommend_new(new).score, loaded.recommend_new(new).score)


def test_saving_again_keeps_everything(fitted, saved, tmp_path):
    loaded = ELMRec.from_pretrained(saved)
    loaded.save_pretrained(tmp_path / "again")
    first, second = (
        json.loads((f / "model.json").read_text()) for f in (saved, tmp_path / "again")
    )
    assert first["settings"] == second["settings"]
    assert same_weights(ELMRec.from_pretrained(tmp_path / "again"), fitted)


def test_it_holds_nothing_pickled(saved):
    suffixes = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors", ".parquet", ".md"}
    assert kind_of(saved) == "elmrec"


def edited(change) -> object:
    return lambda folder: edit(folder / "model.json", change, seal=True)


def cut(name: str) -> object:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("model.safetensors"), "model.safetensors was truncated or altered"),
        (cut("tokenizer/tokenizer.json"), "tokenizer.json was truncated or altered"),
        (lambda folder: (folder / "graph.safetensors").unlink(), "lacks graph.safetensors"),
        (cut("model.json"), "not valid JSON"),
        (edited(lambda about: about.update(kind="other")), "holds a 'other' model"),
        (edited(lambda about: about.update(version=99)), "has version 99"),
        (
            edited(lambda about: about["settings"]["learned"].pop("t5")),
            "cannot be read by this version",
        ),
        (
            edited(lambda about: about["settings"]["config"]["prompts"].update(mystery=1)),
            "unknown configuration key .*prompts.mystery",
        ),
        (
            edited(
                lambda about: about["settings"]["config"]["prompts"].update(num_prompt_embeddings=9)
            ),
            "cannot be read by this version",
        ),
    ],
)
def test_damage_is_explained(copied, damage, message):
    damage(copied)
    with pytest.raises(ModelFolderError, match=message):
        ELMRec.from_pretrained(copied)


def test_folders_of_other_models_and_none_are_refused(shop_split, tmp_path):
    Popularity().fit(shop_split).save_pretrained(tmp_path / "popular")
    with pytest.raises(ModelFolderError, match="holds a 'popularity' model, not 'elmrec'"):
        ELMRec.from_pretrained(tmp_path / "popular")
    with pytest.raises(ModelFolderError, match="not a model folder"):
        ELMRec.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("task", ["direct", "sequential"])
def test_with_integers_scores_change_a_little_and_weights_not_at_all(fitted, task):
    users = np.arange(12)
    lists = CandidateLists.from_lists(users, [np.arange(10, 20)] * 12)
    state = {name: weight.clone() for name, weight in fitted.network.state_dict().items()}
    config, exact = fitted.config, fitted.score_candidates(lists, task=task)
    fitted.config = updated(config, {"decoding": {"weights": "int8"}})
    try:
        found, best = fitted.score_candidates(lists, task=task), fitted.recommend(users, 5)
        texts = fitted.explain([(0, 3)])
    finally:
        fitted.config = config
    assert 0 < np.abs(found - exact).max() < 0.3 and len(best) == 60
    assert all(torch.equal(w, state[n]) for n, w in fitted.network.state_dict().items())
    np.testing.assert_array_equal(fitted.score_candidates(lists, task=task), exact)
    assert texts == fitted.explain([(0, 3)])  # texts are written as they were learned
