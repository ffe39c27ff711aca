"""A small shop and a small run, fitted once for all tests of the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgewise.cli.main import app
from edgewise.data.synthetic import make_demo_shop

Invoke = Callable[..., Result]
SMALL = ("--preset", "tiny", "--set", "training.epochs=1", "--set", "prompts.num_negatives=30")


def call(*arguments: object) -> Result:
    """Run ``edgewise`` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


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
def run(shop: Path) -> Path:
    """A run of one epoch on the shop; tests must leave it as it is."""
    folder = shop.parent / "run"
    beams = ("--set", "decoding.explanation_beams=3")
    result = call("fit", "elmrec", "--data", shop, "--out", folder, "--quiet", *SMALL, *beams)
    assert result.exit_code == 0, result.output
    assert result.output == ""
    return folder
