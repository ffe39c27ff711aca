"""A small shop and small runs, fitted once for all tests of the command line.

Tests leave the runs as they are, and copy one that they want to change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fake_method import registered
from typer.testing import CliRunner, Result

from edgewise.cli.main import app
from edgewise.data.importing import ImportOptions, import_dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.models.registry import Method

Invoke = Callable[..., Result]
SMALL = ("--preset", "tiny", "--set", "training.epochs=2", "--set", "prompts.num_negatives=30",
         "--set", "decoding.explanation_beams=3", "--set", "training.batch_size=96")  # fmt: skip
# Reviews alone: a content stage of 60 users' worth, not of the whole catalogue's.
GPT_SMALL = ("--preset", "tiny", "--set", "training.epochs=1", "--set", "content.contents=false",
             "--set", "content.second_order=false", "--set", "content.events=false")  # fmt: skip


def call(*arguments: object) -> Result:
    """Run ``edgewise`` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fitted(folder: Path, method: str, data: Path, *more: object) -> tuple[Path, str]:
    """A run and what fitting it printed."""
    result = call("fit", method, "--data", data, "--out", folder, *more)
    assert result.exit_code == 0, result.output
    return folder, result.output


@pytest.fixture(scope="session")
def edgewise() -> Invoke:
    """``edgewise(*arguments)`` in this process, errors included."""
    return call


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with 60 users and 96 items."""
    folder = tmp_path_factory.mktemp("cli") / "shop"
    make_demo_shop(3, num_users=60, num_items=96).save(folder)
    return folder


@pytest.fixture(scope="session")
def elmrec_run(shop: Path) -> tuple[Path, str]:
    """A run of ELMRec for two epochs and what fitting it printed."""
    return fitted(shop.parent / "run", "elmrec", shop, *SMALL)


@pytest.fixture(scope="session")
def run(elmrec_run: tuple[Path, str]) -> Path:
    """The run of ELMRec."""
    return elmrec_run[0]


@pytest.fixture(scope="session")
def gpt_run(shop: Path) -> tuple[Path, str]:
    """A run of GraphGPT for one epoch a stage and what fitting it printed."""
    return fitted(shop.parent / "gpt", "graph-gpt", shop, *GPT_SMALL)


@pytest.fixture(scope="session")
def popular_run(shop: Path) -> Path:
    """A run of popularity, for what does not depend on the method."""
    return fitted(shop.parent / "popular", "popularity", shop, "--quiet")[0]


@pytest.fixture
def fake() -> Iterator[Method]:
    """The method ``fake`` of :mod:`tests.fake_method`."""
    with registered() as method:
        yield method


@pytest.fixture
def fake_run(fake: Method, shop: Path, tmp_path: Path) -> Path:
    """A run of the method ``fake`` on a ratio split."""
    split = ("--split", "ratio", "--split-seed", 5)
    return fitted(tmp_path / "run", "fake", shop, *split, "--quiet")[0]


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that keeps its source's numbers: each of 60 users takes the next five items."""
    folder = tmp_path_factory.mktemp("numbered")
    source = folder / "source"
    source.mkdir()
    rows = [[5 * user + step + 1 for step in range(5)] for user in range(60)]
    items = sorted({item for row in rows for item in row})
    lines = [" ".join(map(str, [user + 1, *row])) for user, row in enumerate(rows)]
    (source / "sequential.txt").write_text("\n".join(lines) + "\n")
    maps = {
        "id2user": {str(user + 1): f"u{user}" for user in range(len(rows))},
        "id2item": {str(item): f"i{item}" for item in items},
    }
    (source / "datamaps.json").write_text(json.dumps(maps))
    import_dataset(source, folder / "data", ImportOptions(item_numbers="source"))
    return folder / "data"
