"""Configurations: read, overridden, checked, written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from edgewise.config import check, nearest, read_toml, to_dict, updated, with_overrides
from edgewise.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    size: int = 3
    rate: float = 0.5
    shape: Literal["round", "square"] = "round"
    names: tuple[str, ...] = ("a",)
    folds: int | None = None
    fast: bool = True

    def __post_init__(self) -> None:
        check(self.size > 0, "inner.size must be above 0")


@dataclass(frozen=True)
class Outer:
    seed: int = 0
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("inner.size=7", ("size", 7)),
        ("inner.size = 1_000", ("size", 1000)),
        ("inner.rate=1e-3", ("rate", 0.001)),
        ("inner.rate=2", ("rate", 2.0)),
        ("inner.shape=square", ("shape", "square")),
        ("inner.shape='square'", ("shape", "square")),
        ("inner.names=x,y", ("names", ("x", "y"))),
        ('inner.names=["x", "y"]', ("names", ("x", "y"))),
        ("inner.folds=4", ("folds", 4)),
        ("inner.folds=none", ("folds", None)),
        ("inner.fast=false", ("fast", False)),
    ],
)
def test_overrides(assignment, value):
    name, expected = value
    found = getattr(with_overrides(Outer(), [assignment]).inner, name)
    assert found == expected and type(found) is type(expected)


def test_overrides_go_together_and_the_last_one_wins():
    config = with_overrides(Outer(), ["seed=1", "inner.size=5", "inner.rate=0.1", "seed=2"])
    assert config == Outer(2, Inner(size=5, rate=0.1))
    assert Outer() == Outer(0, Inner()), "the original stays as it was"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("inner.sise=7", r"unknown configuration key 'inner.sise'. Did you mean 'size'\?"),
        ("iner.size=7", r"unknown configuration key 'iner'. Did you mean 'inner'\?"),
        ("inner.size", "is not of the form key=value"),
        ("inner=7", "inner is a section"),
        ("seed.deep=7", "seed"),
        ("inner.size=big", "inner.size = 'big': int is wanted"),
        ("inner.size=1.5", "inner.size = 1.5: int is wanted"),
        ("inner.size=true", "inner.size = True: int is wanted"),
        ("inner.rate=true", "inner.rate = True: float is wanted"),
        ("inner.fast=1", "inner.fast = 1: bool is wanted"),
        ("inner.shape=rond", r"inner.shape = 'rond'. Did you mean 'round'\? Valid: round, square"),
        ("inner.names=3", "inner.names = 3: a list is wanted"),
        ("inner.folds=many", "inner.folds = 'many': int is wanted"),
        ("inner.size=0", "inner.size must be above 0"),
    ],
)
def test_nonsense_is_refused_by_name(assignment, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(Outer(), [assignment])


def test_a_file_is_read_as_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 4\n[inner]\nshape = "square"\nnames = ["p", "q"]\n')
    assert updated(Outer(), read_toml(path)) == Outer(4, Inner(shape="square", names=("p", "q")))


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent.toml"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("seed == 4")
    with pytest.raises(ConfigError, match=r"bad.toml is not valid TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")


def test_the_written_form_is_json_and_comes_back():
    config = Outer(3, Inner(folds=2, names=("p", "q")))
    written = to_dict(config)
    assert json.loads(json.dumps(written)) == written
    assert updated(Outer(), written) == config


def test_nearest_names():
    assert nearest("derect", ["direct", "sequential"]).startswith(" Did you mean 'direct'?")
    assert nearest("xyz", ["direct"]) == " Valid: direct."
