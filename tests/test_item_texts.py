"""Texts and attributes of items: TF-IDF and its reduction by hand, a sentence encoder, refusals."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from tests.contracts.checkerboard import checkerboard

from edgewise import item_texts
from edgewise.data.dataset import Catalog
from edgewise.errors import ConfigError, DataError
from edgewise.files import file_checksum
from edgewise.item_texts import (
    ItemAttributes,
    ItemTexts,
    TextConfig,
    item_attributes,
    item_sentences,
    sentence_vectors,
    tfidf_matrix,
    tfidf_vectors,
)

CATALOG = Catalog(
    ("Red soap", "", "Comb"),
    ("Avene", "", "Avene"),
    (("Shop", "Soaps", "Soaps"), (), ("Shop", "Hair")),
    ("Smells of red.", "", ""),
)


@pytest.fixture(scope="module")
def dataset():
    return checkerboard(described=True).split.dataset


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT of random weights, as sentence encoders are saved."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "red", "apple", "stone", "."]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        num_hidden_layers=1,
        hidden_size=12,
        intermediate_size=16,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_a_text_is_title_brand_categories_and_description():
    assert item_sentences(CATALOG) == [
        "Red soap. Avene. Shop, Soaps, Soaps. Smells of red.",
        "",
        "Comb. Avene. Shop, Hair",
    ]


def test_attributes_by_hand():
    found = item_attributes(CATALOG)
    assert found.names == ("brand Avene", "category Hair", "category Shop", "category Soaps")
    assert found.matrix.toarray().tolist() == [[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert found.padded().tolist() == [[0, 2, 3], [4, 4, 4], [0, 1, 2]]


def test_attributes_that_tell_nothing_apart_are_left_out(dataset):
    assert item_attributes(CATALOG, 2).names == ("brand Avene", "category Shop")
    names = ItemAttributes.of(dataset, 1, "x").names
    assert "category Shop" not in names and {"category Apple", "category Stone"} <= set(names)
    assert item_attributes(Catalog.empty(3)).padded().tolist() == [[0], [0], [0]]


def test_tfidf_by_hand():
    """Words of two texts at least: a, b and c."""
    found = tfidf_matrix(["a b a", "A c!", "b c rare", ""]).toarray()
    weight = 1 + log(5 / 3)
    rows = np.array([[1 + log(2), 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0]]) * weight
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    assert found == pytest.approx(rows / np.where(length > 0, length, 1))


def test_vectors_keep_the_leading_directions():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in rng.integers(30, size=8)) for _ in range(40)]
    matrix = tfidf_matrix(texts).toarray()
    u, s, _ = np.linalg.svd(matrix)
    for size in (5, 25):  # by the sparse and the dense way
        expected = u[:, :size] * s[:size]
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        found = tfidf_vectors(texts, size)
        assert found @ found.T == pytest.approx(expected @ expected.T, abs=1e-4)
        assert np.array_equal(found, tfidf_vectors(texts, size))
    assert tfidf_vectors(["one word", "one"], 4).shape == (2, 4)


def test_items_alike_have_texts_alike(dataset):
    found = ItemTexts.of(dataset, TextConfig(size=8), "x")
    group = checkerboard().item_group
    cosine, same = found.vectors @ found.vectors.T, group[:, None] == group
    assert cosine[same].mean() > cosine[~same].mean() + 0.2
    assert found.told() == {"encoder": "tfidf", "version": "tfidf-1", "size": 8}
    assert found.known.all() and found.vectors.dtype == np.float32


def test_texts_hold_no_interaction(dataset):
    rows = dataset.interactions
    turned = replace(rows, item_index=rows.item_index[::-1].copy())
    other = replace(dataset, interactions=turned)
    ours, theirs = (ItemTexts.of(each, TextConfig(), "x") for each in (dataset, other))
    assert np.array_equal(ours.vectors, theirs.vectors)


def test_a_sentence_is_the_mean_of_its_tokens(encoder):
    from transformers import AutoModel, AutoTokenizer

    texts = ["the red apple", "", "stone", "the the the the the the the"]
    found = sentence_vectors(texts, encoder, 6)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModel.from_pretrained(encoder).eval()
    for text, vector in zip(texts, found, strict=True):
        tokens = tokenizer(text, truncation=True, max_length=6, return_tensors="pt")
        mean = model(**tokens).last_hidden_state[0].mean(0).detach().numpy()
        expected = mean / np.linalg.norm(mean) if text else np.zeros(12)
        assert vector == pytest.approx(expected, abs=1e-5)


def test_a_sentence_encoder_is_named_with_its_weights(dataset, encoder):
    version = file_checksum(encoder / "model.safetensors")
    config = TextConfig(encoder=str(encoder), checksum=version[:12].upper())
    found = ItemTexts.of(dataset, config, "x")
    assert found.told() == {"encoder": str(encoder), "version": version, "size": 12}
    with pytest.raises(ConfigError, match=f"texts.checksum = 'abc'.*{version}"):
        ItemTexts.of(dataset, TextConfig(encoder=str(encoder), checksum="abc"), "x")


def test_the_small_encoder_is_read_from_its_package(dataset, encoder, tmp_path, monkeypatch):
    """Out of the archive beside the package's code, which is never run."""
    package = tmp_path / "all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError")
    with zipfile.ZipFile(package / "model.zip", "w") as packed:
        for path in encoder.iterdir():
            packed.write(path, path.name)
    monkeypatch.syspath_prepend(tmp_path)
    found = ItemTexts.of(dataset, TextConfig(encoder="minilm"), "x")
    assert found.vectors.shape == (24, 12)


def test_without_its_package_the_extra_is_named(dataset, monkeypatch):
    monkeypatch.setattr(item_texts, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"minilm.*edgewise\[text\].*tfidf"):
        ItemTexts.of(dataset, TextConfig(encoder="minilm"), "x")


def test_what_is_no_encoder_is_refused(dataset, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"no sentence encoder.*it has no model.safetensors"):
        ItemTexts.of(dataset, TextConfig(encoder=str(tmp_path)), "x")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="no sentence encoder could be loaded"):
        ItemTexts.of(dataset, TextConfig(encoder=str(tmp_path)), "x")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="no sentence encoder could be loaded"):
        ItemTexts.of(dataset, TextConfig(encoder="no/such::name"), "x")


@pytest.mark.parametrize(
    ("ask", "columns"),
    [
        (lambda data: ItemTexts.of(data, TextConfig(), "unisrec"), r"title \(0\).*description"),
        (lambda data: ItemAttributes.of(data, 2, "fdsa"), r"brand \(0\), categories \(0\)"),
    ],
)
def test_what_the_data_lack_is_said_column_by_column(ask, columns):
    with pytest.raises(DataError, match=f"items.parquet.*24 items.*{columns}.*--metadata"):
        ask(checkerboard().split.dataset)
