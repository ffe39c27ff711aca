"""Where configurations, figures and runs stand, and how a file's name tells its cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

HONEST = "honest"
_NAME = re.compile(
    r"(?P<method>[^@]+?)(@(?P<protocol>[^@]+?))?(-seed(?P<seed>\d+))?(?P<raw>-no-rerank)?"
)


@dataclass(frozen=True)
class Layout:
    """Four folders that mirror each other.

    Attributes:
        experiments: configurations, and the papers' figures.
        results: what was measured, one JSON file a cell; small enough to be committed.
        runs: fitted runs, imported data sets (``data/``), users' rows (``per-user/``), and what the
            commands printed (``logs/``).
        raw: data sets as they were downloaded, by name.
    """

    experiments: Path = Path("experiments")
    results: Path = Path("results")
    runs: Path = Path("runs")
    raw: Path = Path("data")


@dataclass(frozen=True)
class Place:
    """A cell's place below each of the folders, and what it says of the cell.

    Attributes:
        table: folder of the table, such as ``elmrec/table-4``; may be empty.
        dataset: folder of the data set.
        method: stem of the configuration.
        protocol: a key of :data:`edgewise.evaluation.protocols.PROTOCOLS`.
        seed: None where the settings' own counts.
        raw_lists: whether lists were measured as they were searched, seen items and all.
    """

    table: str
    dataset: str
    method: str
    protocol: str = HONEST
    seed: int | None = None
    raw_lists: bool = False

    @property
    def name(self) -> str:
        """File name without suffix; the honest protocol goes without saying."""
        protocol = "" if self.protocol == HONEST else f"@{self.protocol}"
        seed = "" if self.seed is None else f"-seed{self.seed}"
        return f"{self.method}{protocol}{seed}{'-no-rerank' if self.raw_lists else ''}"

    @property
    def path(self) -> str:
        """Below ``results/`` and ``runs/``, without suffix."""
        return PurePosixPath(self.table, self.dataset, self.name).as_posix()

    @classmethod
    def of(cls, path: PurePosixPath | Path) -> Place:
        """What the path of a file, relative to its folder, tells: the inverse of :attr:`path`."""
        found = _NAME.fullmatch(PurePosixPath(path).with_suffix("").name)
        assert found, f"{path}: no file name"
        folder = PurePosixPath(*path.parent.parts)
        return cls(
            folder.parent.as_posix().removeprefix("."),
            folder.name,
            found["method"],
            found["protocol"] or HONEST,
            None if found["seed"] is None else int(found["seed"]),
            found["raw"] is not None,
        )
