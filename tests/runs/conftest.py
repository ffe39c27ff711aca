"""A method that learns in no time, and a run of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fake_method import FAKE, FakeConfig, registered

from edgewise.data.dataset import Dataset
from edgewise.data.synthetic import make_demo_shop
from edgewise.evaluation.protocols import find_protocol
from edgewise.models.registry import Method
from edgewise.runs.run import Run
from edgewise.runs.spec import DataInfo, RunSpec
from edgewise.runs.train import train


@pytest.fixture(autouse=True)
def fake() -> Iterator[Method]:
    """The method ``fake`` of :mod:`tests.fake_method`."""
    with registered() as method:
        yield method


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A data set of 60 users and 96 items, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "shop"
    dataset = make_demo_shop(3, num_users=60, num_items=96)
    dataset.save(folder)
    return dataset, folder


@pytest.fixture(scope="package")
def spec(data: tuple[Dataset, Path]) -> RunSpec:
    """What is to be trained."""
    return RunSpec(FAKE.name, FakeConfig(), DataInfo.of(*data))


@pytest.fixture(scope="package")
def fitted(
    spec: RunSpec, data: tuple[Dataset, Path], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A fitted run, once for all tests."""
    with registered():
        return train(spec, tmp_path_factory.mktemp("fitted") / "run", dataset=data[0])


@pytest.fixture
def run(fitted: Run, tmp_path: Path) -> Run:
    """A copy of the fitted run, to be changed."""
    return replace(fitted, folder=Path(shutil.copytree(fitted.folder, tmp_path / "run")))


@pytest.fixture(scope="package")
def released(
    spec: RunSpec, data: tuple[Dataset, Path], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run under a protocol that leaks, on a data set that keeps its source's numbers."""
    folder = tmp_path_factory.mktemp("released")
    dataset = replace(data[0], source={**data[0].source, "item_numbers": "source"})
    dataset.save(folder / "data")
    about = DataInfo.of(dataset, folder / "data")
    protocol = find_protocol("elmrec-released", edge_share=0.8)
    spec = replace(spec, data=about, protocol=protocol)
    with registered():
        return train(spec, folder / "run", dataset=dataset)
