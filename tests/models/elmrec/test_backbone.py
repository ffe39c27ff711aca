"""The T5 inside: from a checkpoint folder end to end, or of a size of ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.checkpoints import save_tiny_t5
from tests.models.elmrec.conftest import small_elmrec

from edgewise.errors import ConfigError
from edgewise.models.elmrec.backbone import FROM_SCRATCH, build_t5, is_from_scratch
from edgewise.models.elmrec.config import BackboneConfig
from edgewise.models.elmrec.recommender import ELMRec
from edgewise.models.tokenizers import train_tokenizer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny_t5(tmp_path_factory.mktemp("t5") / "checkpoint")


def test_a_checkpoint_folder_works_end_to_end(checkpoint, shop_split, tmp_path):
    model = small_elmrec(f"backbone.name={checkpoint}").fit(shop_split)
    assert model.network.t5.config.d_model == 32
    assert model.tokenizer("item_7")["input_ids"][-1] == model.tokenizer.eos_token_id == 1
    users = np.arange(4)
    found = model.recommend(users, 5)
    assert len(found) == 20
    model.save_pretrained(tmp_path / "model")
    checkpoint.rename(tmp_path / "moved")  # a saved model needs its checkpoint no more
    loaded = ELMRec.from_pretrained(tmp_path / "model")
    (tmp_path / "moved").rename(checkpoint)
    assert np.array_equal(loaded.recommend(users, 5).score, found.score)
    assert loaded.explain([(0, 1)]) == model.explain([(0, 1)])


def test_it_starts_from_the_checkpoints_weights(checkpoint):
    tokenizer = train_tokenizer(["x"], 5)
    config = BackboneConfig(name=str(checkpoint), dropout=0.25)
    first, second = (build_t5(config, tokenizer, torch.Generator().manual_seed(s)) for s in (0, 1))
    assert torch.equal(first.shared.weight, second.shared.weight)
    assert first.config.dropout_rate == 0.25 and first.shared.weight.dtype == torch.float32


def test_random_weights_follow_the_generator_alone():
    tokenizer = train_tokenizer(["x"], 5)
    before = torch.get_rng_state()

    def start(seed: int) -> torch.Tensor:
        t5 = build_t5(BackboneConfig(name="tiny"), tokenizer, torch.Generator().manual_seed(seed))
        return t5.encoder.block[0].layer[0].SelfAttention.q.weight

    assert torch.equal(start(3), start(3)) and not torch.equal(start(3), start(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_sizes():
    assert set(FROM_SCRATCH) == {"tiny", "cpu", "t5-small"}
    assert is_from_scratch("t5-small") and not is_from_scratch("google-t5/t5-small")


def test_a_missing_checkpoint_is_named(tmp_path):
    tokenizer = train_tokenizer(["x"], 5)
    with pytest.raises(ConfigError, match=r"backbone.name = .*nowhere.*or one of tiny, cpu"):
        build_t5(BackboneConfig(name=str(tmp_path / "nowhere")), tokenizer, torch.Generator())


def test_without_network_the_way_out_is_told(shop_split):
    model = ELMRec.from_preset("paper-beauty", ["backbone.name=edgewise-tests/no-such-t5"])
    with pytest.raises(ConfigError) as caught:
        model.fit(shop_split)
    told = str(caught.value)
    assert told.startswith("backbone.name = 'edgewise-tests/no-such-t5': no T5 checkpoint could be")
    for way in ("backbone.name=FOLDER", "paper-beauty-from-scratch", "backbone.name=t5-small"):
        assert way in told
    assert "\n" not in told


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="it is a bert model"):
        build_t5(BackboneConfig(name=str(tmp_path)), train_tokenizer(["x"], 5), torch.Generator())
