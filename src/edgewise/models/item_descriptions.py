"""What networks keep of the catalogue: texts and attributes of items as tensors, saved with them.

Shapes: I items, T numbers of a text's vector, A attributes, M the most that an item has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgewise.config import check
from edgewise.data.dataset import Dataset
from edgewise.data.splits import Split
from edgewise.item_texts import TFIDF, ItemAttributes, ItemTexts, TextConfig
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
        padded, names, about = np.zeros((dataset.num_items, 1), np.int64), (), {}
        if texts is not None:
            found = ItemTexts.of(dataset, texts, reader)
            vectors, about = found.vectors, {"texts": found.told()}
        if min_items is not None:
            attributes = ItemAttributes.of(dataset, min_items, reader)
            padded, names = attributes.padded(), attributes.names
        return cls._with_shapes(torch.from_numpy(vectors), torch.from_numpy(padded), names, about)

    @classmethod
    def _with_shapes(
        cls,
        texts: torch.Tensor,
        attributes: torch.Tensor,
        names: Sequence[str],
        about: Mapping[str, Any],
    ) -> ItemDescriptions:
        count, slots = len(names), attributes.shape[1]
        shapes = {"num_texts": texts.shape[1], "num_slots": slots, "num_names": count}
        return cls(texts, attributes, count, {**about, **shapes, "names": list(names)})

    def read_as(self, texts: torch.Tensor, about: Mapping[str, Any]) -> ItemDescriptions:
        """The same catalogue as a network reads it that was fitted before the catalogue grew.

        Attributes keep their numbers, and those that came since are not read. Texts of old items
        stay as they were. Directions of TF-IDF depend on all texts, so vectors of new items are
        brought into the old ones' by the linear map that does so best for the old items.

        Args:
            texts: of the old items, ``float32[I', T']``.
            about: of the old descriptions.

        Raises:
            ConfigError: another encoder's vectors, or a model that does not know its attributes.
        """
        names = about.get("names", [])
        check(
            len(names) == about["num_names"],
            "the model that is started from was saved by an earlier version, without the names of "
            "its attributes: fit anew, without --from (start_from)",
        )
        encoders = [each.get("texts", {}) for each in (about, self.about)]
        told = [(each.get("encoder"), each.get("version")) for each in encoders]
        check(
            told[0] == told[1],
            f"texts were encoded by {told[0]} in the model that is started from, and are by "
            f"{told[1]} now: get the encoder that it had, or fit anew",
        )
        place = {name: number for number, name in enumerate(names)}
        numbers = [place.get(name, len(names)) for name in self.about["names"]]
        attributes = torch.tensor([*numbers, len(names)])[self.attributes].sort(1).values
        attributes = attributes[:, : max(1, int((attributes < len(names)).sum(1).max()))]
        vectors = self.texts
        if vectors.shape[1] and told[0][0] == TFIDF:
            old, new = (each.double().numpy() for each in (vectors[: len(texts)], vectors))
            turned = new @ np.linalg.lstsq(old, texts.double().numpy(), rcond=1e-6)[0]
            length = np.linalg.norm(turned, axis=1, keepdims=True)
            turned = np.divide(turned, length, out=np.zeros_like(turned), where=length > 1e-12)
            vectors = torch.from_numpy(turned.astype(np.float32))
        vectors = torch.cat([texts, vectors[len(texts) :]])
        return self._with_shapes(vectors, attributes, names, about)

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

    def known_texts(self) -> torch.Tensor:
        """Texts of items as :meth:`describe` gave them, ``float32[I, T]``."""
        texts = getattr(self.network, "texts", None)
        return torch.zeros(len(self.data.items), 0) if texts is None else texts

    def descriptions(self, split: Split | None) -> ItemDescriptions:
        """For :meth:`build`: of the data, or of the shapes that were saved."""
        if split is None:
            return ItemDescriptions.empty(len(self.data.items), self._about)
        found = self.describe(split.dataset)
        if self.older is not None:
            found = found.read_as(self.older.known_texts().cpu(), self.older._about)
        self._about = found.about
        return found

    def _save_learned(self, folder: Path) -> dict[str, Any]:
        return {**super()._save_learned(folder), "descriptions": dict(self._about)}

    def _load_learned(self, folder: Path, told: Mapping[str, Any]) -> None:
        self._about = told["descriptions"]
        super()._load_learned(folder, told)
