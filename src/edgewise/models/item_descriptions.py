"""What networks keep of the catalogue: texts and attributes of items as tensors, saved with them.

Shapes: I items, T numbers of a text's vector, A attributes, M the most that an item has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split
from edgewise.item_texts import ItemAttributes, ItemTexts, TextConfig
from edgewise.models.base import TorchRecommender


@dataclass(frozen=True, eq=False)
class ItemDescriptions:
    """Texts and attributes; what a method does not read is empty.

    Attributes:
        texts: ``float32[I, T]``.
        attributes: of each item, filled up with A, ``int64[I, M]``.
        num_attributes: A.
        about: shapes, and which encoder made the texts.
    """

    texts: torch.Tensor
    attributes: torch.Tensor
    num_attributes: int
    about: Mapping[str, Any]

    @classmethod
    def of(
        cls, dataset: Dataset, reader: str, texts: TextConfig | None, min_items: int | None
    ) -> ItemDescriptions:
        """Read the catalogue of a data set.

        Args:
            dataset: whose catalogue.
            reader: the method, for messages.
            texts: how texts are encoded; None: none are read.
            min_items: items that an attribute has at least; None: no attributes are read.

        Raises:
            DataError: it has not what is to be read.
        """
        vectors = np.zeros((dataset.num_items, 0), np.float32)
        padded, count, about = np.zeros((dataset.num_items, 1), np.int64), 0, {}
        if texts is not None:
            found = ItemTexts.of(dataset, texts, reader)
            vectors, about = found.vectors, {"texts": found.told()}
        if min_items is not None:
            attributes = ItemAttributes.of(dataset, min_items, reader)
            padded, count = attributes.padded(), len(attributes.names)
        shapes = {"num_texts": vectors.shape[1], "num_slots": padded.shape[1], "num_names": count}
        return cls(torch.from_numpy(vectors), torch.from_numpy(padded), count, {**about, **shapes})

    @classmethod
    def empty(cls, num_items: int, about: Mapping[str, Any]) -> ItemDescriptions:
        """Of these shapes, for weights that will be loaded."""
        texts = torch.zeros(num_items, about["num_texts"])
        attributes = torch.zeros(num_items, about["num_slots"], dtype=torch.int64)
        return cls(texts, attributes, about["num_names"], about)


class DescribedRecommender(TorchRecommender):
    """A method that reads descriptions of items and saves their shapes and encoder with itself."""

    _about: Mapping[str, Any]

    def describe(self, dataset: Dataset) -> ItemDescriptions:
        """What the method reads of a catalogue.

        Raises:
            DataError: it lacks that.
        """
        raise NotImplementedError

    def descriptions(self, split: Split | None) -> ItemDescriptions:
        """For :meth:`build`: of the data, or of the shapes that were saved."""
        if split is None:
            return ItemDescriptions.empty(len(self.data.items), self._about)
        found = self.describe(split.dataset)
        self._about = found.about
        return found

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        return {**super()._save_learned(folder), "descriptions": dict(self._about)}

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        self._about = told["descriptions"]
        super()._load_learned(folder, told)
