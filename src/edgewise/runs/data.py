"""The data set of a run, recognised by its content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewise.data.checksum import content_checksum
from edgewise.data.interactions import Dataset
from edgewise.data.storage import load_dataset
from edgewise.errors import DataError


@dataclass(frozen=True)
class DataInfo:
    """The data set of a run: its folder as it was given, its name and its content's checksum."""

    folder: str
    name: str
    checksum: str

    @classmethod
    def of(cls, dataset: Dataset, folder: str | Path) -> DataInfo:
        return cls(str(folder), dataset.name, content_checksum(dataset))

    def check(self, dataset: Dataset, folder: str | Path) -> None:
        """Refuse a data set whose content is not the one the run was fitted on.

        Raises:
            DataError: it differs.
        """
        if content_checksum(dataset) != self.checksum:
            raise DataError(
                f"{folder}: not the data the run was fitted on ({self.name!r}, checksum "
                f"{self.checksum[:12]}): it was altered or is another data set. Give the original "
                "with --data, or fit again"
            )


def load_run_data(info: DataInfo, data: str | Path | None = None) -> Dataset:
    """The data set of a run, checked to be the same."""
    place = Path(data or info.folder)
    if not place.exists():
        raise DataError(
            f"{place}: the data set of the run is not there; say where it is with --data"
        )
    dataset = load_dataset(place)
    info.check(dataset, place)
    return dataset
