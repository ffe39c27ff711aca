"""What a recommender keeps of the data that it was fitted on, and saves with itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewise.data.dataset import Vocabulary, read_parquet
from edgewise.data.item_facets import ItemFacets
from edgewise.data.ragged import Ragged
from edgewise.data.splits import Split
from edgewise.errors import ModelFolderError


@dataclass(frozen=True, eq=False)
class FittedData:
    """Ids, titles and attributes, and the train rows.

    Attributes:
        users, items: raw ids by index.
        titles: of the items, empty strings where there are none.
        histories: each user's train items, oldest first, ``int32``.
        item_counts: train rows of every item, ``int64[I]``.
        name, checksum: of the data set.
        facets: brands and categories of the items; None where a folder was saved without them.
    """

    users: Vocabulary
    items: Vocabulary
    titles: tuple[str, ...]
    histories: Ragged
    item_counts: np.ndarray
    name: str
    checksum: str
    facets: ItemFacets | None = None

    def __repr__(self) -> str:
        users, items, rows = len(self.users), len(self.items), len(self.histories.values)
        return f"FittedData({self.name}: {users:,} users, {items:,} items, {rows:,} train rows)"

    @classmethod
    def of(cls, split: Split) -> FittedData:
        """Of the train rows; validation and test rows are not kept."""
        dataset = split.dataset
        counts = np.bincount(split.train.item_index, minlength=dataset.num_items)
        return cls(
            dataset.users,
            dataset.items,
            tuple(dataset.catalog.title),
            split.known_before("valid"),
            counts,
            dataset.name,
            dataset.checksum,
            ItemFacets.of(dataset.catalog),
        )

    def save(self, folder: Path) -> None:
        """Write the tables of users and items and the histories into a model folder."""
        import polars as pl
        from safetensors.numpy import save_file

        pl.DataFrame({"user_id": self.users.ids}).write_parquet(folder / "users.parquet")
        facets = {} if self.facets is None else self.facets.columns()
        items = pl.DataFrame({"item_id": self.items.ids, "title": self.titles, **facets})
        items.write_parquet(folder / "items.parquet")
        arrays = {
            "history_offsets": self.histories.offsets,
            "history_items": self.histories.values,
            "item_counts": self.item_counts.astype(np.int64),
        }
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            folder / "histories.safetensors",
        )

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, str], again: str) -> FittedData:
        """Read what :meth:`save` wrote.

        Args:
            folder: of a model.
            about: name and checksums that the model's settings tell.
            again: what to do about a file that is not whole.

        Raises:
            ModelFolderError, ValueError: files of another model, or not whole.
        """
        import polars as pl
        from safetensors.numpy import load_file

        tables = [folder / "users.parquet", folder / "items.parquet"]
        users, items = (read_parquet(path, ModelFolderError, again) for path in tables)
        users, facets = users["user_id"].cast(pl.String), ItemFacets.from_frame(items)
        items = items.select("item_id", "title").cast(pl.String)
        arrays = load_file(folder / "histories.safetensors")
        vocabularies = Vocabulary(tuple(users), "user"), Vocabulary(tuple(items["item_id"]), "item")
        for each in vocabularies:
            if each.checksum != about[f"{each.kind}s_sha256"]:
                raise ModelFolderError(
                    f"{each.kind}s.parquet: not the ids that the model was fitted on "
                    f"(settings.data.{each.kind}s_sha256)"
                )
        offsets, taken, counts = (
            arrays[name] for name in ("history_offsets", "history_items", "item_counts")
        )
        whole = (
            len(offsets) == len(users) + 1
            and offsets[0] == 0
            and offsets[-1] == len(taken)
            and bool(np.all(np.diff(offsets) >= 0))
            and len(counts) == len(items)
            and (not len(taken) or 0 <= taken.min() <= taken.max() < len(items))
        )
        if not whole or users.null_count() or sum(items.null_count().row(0)):
            raise ValueError(
                f"histories.safetensors does not fit {len(users)} users and {len(items)} items"
            )
        return cls(
            *vocabularies,
            tuple(items["title"]),
            Ragged(offsets, taken),
            counts,
            about["name"],
            about["checksum"],
            facets,
        )
