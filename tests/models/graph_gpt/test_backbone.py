"""Random weights of three sizes, or a checkpoint with users and items put behind its words."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, GPT2Config, GPT2Model

from edgewise.errors import ConfigError
from edgewise.models.graph_gpt.backbone import FROM_SCRATCH, build_gpt, build_tokens, start_items
from edgewise.models.graph_gpt.config import BackboneConfig
from edgewise.models.graph_gpt.prompts import TEMPLATES
from edgewise.models.graph_gpt.tokens import TokenSpace

TINY = BackboneConfig(name="tiny", vocab_size=300, max_tokens=64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture(scope="module")
def tokens(shop_split):
    return build_tokens(TINY, shop_split, TEMPLATES)


@pytest.fixture(scope="module")
def checkpoint(tokens, tmp_path_factory):
    """A GPT-2 with the shop's words and two rows more than its tokenizer needs."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=tokens.num_text + 2, n_positions=64, n_embd=8, n_layer=1, n_head=2
    )
    GPT2Model(config).save_pretrained(folder)
    tokens.tokenizer.save_pretrained(folder)
    return folder


class TestFromScratch:
    def test_equal_generators_equal_weights(self, tokens):
        first, second = (build_gpt(TINY, tokens, generator()).state_dict() for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_one_embedding_a_token(self, tokens):
        gpt = build_gpt(TINY, tokens, generator())
        assert gpt.wte.weight.shape == (len(tokens), 64)
        assert gpt.wpe.weight.shape == (64, 64)

    def test_items_start_from_given_vectors_and_others_stay(self, tokens):
        gpt, untouched = (build_gpt(TINY, tokens, generator()) for _ in range(2))
        vectors = np.random.default_rng(0).normal(size=(tokens.num_items, 64)).astype(np.float32)
        vectors[5] = 0
        start_items(gpt, tokens, vectors, std=0.1)
        first = tokens.num_text + tokens.num_users
        expected = untouched.wte.weight.detach().clone()
        moved = np.arange(tokens.num_items) != 5
        expected[first:][torch.from_numpy(moved)] = 0.1 * torch.from_numpy(vectors[moved])
        assert torch.equal(gpt.wte.weight, expected)

    def test_init_std_and_dropout(self, tokens):
        config = TINY.model_copy(update={"init_std": 0.1, "dropout": 0.4, "attention_dropout": 0.0})
        gpt = build_gpt(config, tokens, generator())
        assert gpt.wte.weight.std().item() == pytest.approx(0.1, rel=0.05)
        found = gpt.config.embd_pdrop, gpt.config.resid_pdrop, gpt.config.attn_pdrop
        assert found == (0.4, 0.4, 0.0)

    def test_gpt2_has_its_size(self):
        assert FROM_SCRATCH["gpt2"] == {"n_layer": 12, "n_embd": 768, "n_head": 12}

    def test_the_surroundings_random_numbers_go_on(self, tokens):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        build_gpt(TINY, tokens, generator())
        assert torch.equal(torch.rand(3), expected)


class TestCheckpoint:
    def test_its_words_come_first(self, checkpoint, shop_split):
        config = TINY.model_copy(update={"name": str(checkpoint)})
        tokens = build_tokens(config, shop_split, TEMPLATES)
        gpt = build_gpt(config, tokens, generator())
        words = GPT2Model.from_pretrained(checkpoint).wte.weight
        assert torch.equal(gpt.wte.weight[: tokens.num_text], words[: tokens.num_text])
        assert len(gpt.wte.weight) == gpt.config.vocab_size == tokens.num_text + 88
        assert gpt.wte.weight[tokens.num_text :].std().item() == pytest.approx(0.02, rel=0.1)

    def test_longer_inputs_than_it_reads(self, checkpoint, shop_split):
        config = TINY.model_copy(update={"name": str(checkpoint), "max_tokens": 65})
        tokens = build_tokens(config, shop_split, TEMPLATES)
        with pytest.raises(ConfigError, match=r"reads 64 tokens at most; set backbone\.max_tokens"):
            build_gpt(config, tokens, generator())

    def test_fewer_words_than_its_tokenizer(self, checkpoint, tokens):
        config = TINY.model_copy(update={"name": str(checkpoint)})
        tokenizer = deepcopy(tokens.tokenizer)
        tokenizer.add_tokens(["<1>", "<2>", "<3>"])
        larger = TokenSpace(tokenizer, 40, 48)
        with pytest.raises(ConfigError, match="model and tokenizer belong together"):
            build_gpt(config, larger, generator())

    def test_another_kind_of_model(self, tokens, tmp_path):
        BertConfig().save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match="it is a bert model"):
            build_gpt(TINY.model_copy(update={"name": str(tmp_path)}), tokens, generator())

    def test_nothing_there(self, shop_split, tmp_path):
        remedy = r"no tokenizer could be loaded.*--set backbone\.name=FOLDER.*random weights.*gpt2"
        with pytest.raises(ConfigError, match=remedy):
            build_tokens(TINY.model_copy(update={"name": str(tmp_path)}), shop_split, TEMPLATES)

    @pytest.mark.parametrize("changes", [{"n_embd": 16}, {"n_positions": 128}])
    def test_weights_of_other_sizes_than_its_configuration(
        self, checkpoint, tokens, tmp_path, changes
    ):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        reconfigure(broken, changes)
        with pytest.raises(ConfigError, match=r"broken.*whose config\.json and weights belong"):
            build_gpt(TINY.model_copy(update={"name": str(broken)}), tokens, generator())

    def test_fewer_layers_than_its_configuration(self, checkpoint, tokens, tmp_path):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        reconfigure(broken, {"n_layer": 2})
        with pytest.raises(ConfigError, match=r"broken.*12 weights that it lacks, such as h\.1"):
            build_gpt(TINY.model_copy(update={"name": str(broken)}), tokens, generator())

    def test_a_head_beside_the_network_is_no_fault(self, checkpoint, tokens, tmp_path):
        """Checkpoints of the whole language model name their weights so."""
        whole = shutil.copytree(checkpoint, tmp_path / "whole")
        weights = load_file(whole / "model.safetensors")
        save_file({f"transformer.{n}": w for n, w in weights.items()}, whole / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        gpt = build_gpt(TINY.model_copy(update={"name": str(whole)}), tokens, generator())
        assert torch.equal(gpt.h[0].ln_1.weight, weights["h.0.ln_1.weight"])
        assert torch.equal(gpt.wpe.weight, weights["wpe.weight"])

    def test_damaged_weights(self, checkpoint, tokens, tmp_path):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        path = broken / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(
            ConfigError, match=r"no GPT-2 checkpoint could be loaded.*backbone\.name=FOLDER"
        ):
            build_gpt(TINY.model_copy(update={"name": str(broken)}), tokens, generator())

    def test_a_tokenizer_without_an_end(self, checkpoint, tokens, shop_split, tmp_path):
        broken = shutil.copytree(checkpoint, tmp_path / "broken")
        tokenizer = deepcopy(tokens.tokenizer)
        tokenizer.eos_token = None
        tokenizer.save_pretrained(broken)
        with pytest.raises(ConfigError, match=r"broken.*has no end token"):
            build_tokens(TINY.model_copy(update={"name": str(broken)}), shop_split, TEMPLATES)


def reconfigure(folder, changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
