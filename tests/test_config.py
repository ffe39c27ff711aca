"""Configurations: read, overridden, checked, written."""

from __future__ import annotations

import json
import re
from typing import ClassVar, Literal, get_args

import pytest

from edgewise.config import (
    MethodConfig,
    Settings,
    Stages,
    check,
    describe_settings,
    differences,
    flat_settings,
    nearest,
    preset_config,
    read_toml,
    section,
    setting,
    to_dict,
    to_toml,
    updated,
    with_overrides,
)
from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import ELMRecConfig, GraphConfig
from edgewise.models.graph_gpt.config import GraphGPTConfig
from edgewise.models.registry import methods
from edgewise.training.config import TrainingConfig


class Inner(Settings):
    SECTION = "inner"
    RENAMED: ClassVar = {"width": "size", "pace": "stages.first.epochs"}

    size: int = setting(3, "How large it is.", symbol="s, Eq. 1", ge=1)
    rate: float = setting(0.5, "How fast it is.", gt=0, lt=10)
    shape: Literal["round", "square"] = setting("round", "How it looks.")
    names: tuple[str, ...] = setting(("a",), "What it is called.")
    folds: int | None = setting(None, "Folds; none = not folded.")
    fast: bool = setting(True, "Whether it is fast.")

    def model_post_init(self, context):
        check(self.size != 666, "inner.size must not be 666")


class Stage(Settings):
    SECTION = "stages"

    epochs: int = setting(10, "Passes at most.", ge=1)
    rate: float = setting(0.1, "How fast it learns.")


class AllStages(Stages):
    SECTION = "stages"

    first: Stage = section(Stage)
    second: Stage = section(Stage, epochs=20)


class Outer(MethodConfig):
    inner: Inner = section(Inner)
    stages: AllStages = section(AllStages)


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
    assert config == Outer(seed=2, inner=Inner(size=5, rate=0.1))
    assert Outer() == Outer(seed=0, inner=Inner()), "the original stays as it was"


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
        ("inner.size=0", "inner.size = 0: must be at least 1"),
        ("inner.rate=0", "inner.rate = 0: must be above 0"),
        ("inner.rate=10", "inner.rate = 10: must be below 10"),
        ("inner.size=666", "inner.size must not be 666"),
        ("seed=-1", "seed = -1: must be at least 0"),
        ("inner.width=3", "unknown configuration key 'inner.width': it is called inner.size now"),
        ("inner.pace=3", "'inner.pace': it is called stages.first.epochs now"),
        ("stages.second.epochs=0", "stages.second.epochs = 0: must be at least 1"),
        ("stages.epoch=3", r"'stages.epoch'. Did you mean 'epochs'\?"),
        ("stages.frist.epochs=3", r"'stages.frist'. Did you mean 'first'\?"),
    ],
)
def test_nonsense_is_refused_by_name(assignment, message):
    with pytest.raises(ConfigError, match=message):
        with_overrides(Outer(), [assignment])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "inner.size = 0: must be at least 1"),
        ({"size": 1.5}, "inner.size = 1.5: int is wanted"),
        ({"shape": "rond"}, "inner.shape = 'rond'. Did you mean 'round'"),
        ({"sise": 3}, "unknown configuration key 'inner.sise'. Did you mean 'size'"),
        ({"width": 3}, "unknown configuration key 'inner.width': it is called inner.size now"),
    ],
)
def test_python_is_refused_alike(values, message):
    with pytest.raises(ConfigError, match=message):
        Inner(**values)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Inner().size = 4  # type: ignore[misc]


def test_a_key_that_names_no_stage_is_set_in_all():
    config = with_overrides(Outer(), ["stages.epochs=4", "stages.second.rate=0.3"])
    assert (config.stages.first, config.stages.second) == (
        Stage(epochs=4),
        Stage(epochs=4, rate=0.3),
    )
    own = with_overrides(Outer(), ["stages.epochs=4", "stages.second.epochs=5"])
    assert (own.stages.first.epochs, own.stages.second.epochs) == (4, 5)
    assert with_overrides(own, ["inner.size=9"]).stages == own.stages


def test_a_value_and_a_section_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="inner was given a value before"):
        with_overrides(Outer(), ["inner=3", "inner.size=3"])


@pytest.mark.parametrize("assignments", [["stages.first=3"], ["stages.epochs=4", "stages.first=3"]])
def test_a_stage_is_a_section(assignments):
    with pytest.raises(ConfigError, match=r"stages\.first is a section, not a value"):
        with_overrides(Outer(), assignments)


def test_presets_are_the_defaults_with_their_values():
    presets = {"small": {"inner": {"size": 1}}, "tiny": {"stages": {"epochs": 1}}}
    assert preset_config(Outer, presets, "small") == Outer(inner=Inner(size=1))
    assert preset_config(Outer, presets, "tiny").stages.second == Stage(epochs=1)
    with pytest.raises(ConfigError, match=r"unknown preset 'smal'. Did you mean 'small'\?"):
        preset_config(Outer, presets, "smal")


def test_what_a_setting_is_stands_beside_it():
    rows = {row.path: row for row in describe_settings(Outer)}
    assert next(iter(rows)) == "seed" and "stages.second.rate" in rows
    assert rows["inner.size"][1:] == ("int", "3", "How large it is.", "s, Eq. 1")
    assert rows["inner.shape"].kind == "round | square"
    assert rows["inner.names"].kind == "list of str" and rows["inner.names"].default == '["a"]'
    assert rows["inner.folds"].kind == "int | none" and rows["inner.folds"].default == '"none"'
    assert rows["stages.second.epochs"].default == "20", "as the section has it"


def test_values_of_a_file_are_named_with_it(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[inner]\nsize = 0\n")
    with pytest.raises(ConfigError, match=r"^run\.toml: inner\.size = 0: must be at least 1"):
        updated(Outer(), read_toml(path), "run.toml: ")


def test_a_file_is_read_as_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 4\n[inner]\nshape = "square"\nnames = ["p", "q"]\n')
    assert updated(Outer(), read_toml(path)) == Outer(
        seed=4, inner=Inner(shape="square", names=("p", "q"))
    )


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent.toml: cannot be read"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("seed == 4")
    with pytest.raises(ConfigError, match=r"bad.toml: not valid TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_toml(tmp_path / "latin.toml")


def test_the_written_form_is_json_and_comes_back():
    config = Outer(seed=3, inner=Inner(folds=2, names=("p", "q")))
    written = to_dict(config)
    assert json.loads(json.dumps(written)) == written
    assert updated(Outer(), written) == config


def test_the_written_toml_comes_back(tmp_path):
    names = ('a "b"', "c\\é")
    config = Outer(seed=3, inner=Inner(folds=None, names=names, fast=False))
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config, "mine"), encoding="utf-8")
    values = read_toml(path)
    assert values.pop("method") == "mine" and updated(Outer(), values) == config


def test_differences_are_named():
    new = with_overrides(Outer(), ["seed=2", "inner.folds=4"])
    assert differences(Outer(), new) == ["seed (0, now 2)", 'inner.folds ("none", now 4)']
    assert differences(new, new) == []
    assert flat_settings({"a": {"b": 1}, "c": 2}) == {"a.b": 1, "c": 2}


def test_nearest_names():
    assert nearest("derect", ["direct", "sequential"]).startswith(" Did you mean 'direct'?")
    assert nearest("xyz", ["direct"]) == " Valid: direct."


# The settings of the two systems.


def test_a_wrong_word_is_refused_wherever_it_is_said():
    message = r"graph\.features = 'spektral'. Did you mean 'spectral'\?"
    for ask in (
        lambda: GraphConfig(features="spektral"),  # type: ignore[arg-type]
        lambda: ELMRecConfig(graph={"features": "spektral"}),
        lambda: updated(ELMRecConfig(), {"graph": {"features": "spektral"}}),
        lambda: with_overrides(ELMRecConfig(), ["graph.features=spektral"]),
    ):
        with pytest.raises(ConfigError, match=message):
            ask()


def test_epochs_are_those_of_every_stage():
    gpt = with_overrides(GraphGPTConfig(), ["training.epochs=4"])
    assert {getattr(gpt.training, name).epochs for name in type(gpt.training).model_fields} == {4}
    assert with_overrides(ELMRecConfig(), ["training.epochs=4"]).training.epochs == 4


@pytest.mark.parametrize("kind", [ELMRecConfig, GraphGPTConfig, TrainingConfig])
def test_every_old_name_leads_to_a_setting_of_today(kind):
    known = {row.path for row in describe_settings(kind)}
    old = list(old_names(kind, ""))
    assert old
    for path, now in old:
        assert now in known and path not in known, path
        with pytest.raises(ConfigError, match=f"it is called {re.escape(now)} now"):
            with_overrides(kind(), [f"{path}=1"])


def old_names(kind, prefix):
    """Old paths and today's, by what each section says of itself."""
    for old, now in kind.RENAMED.items():
        yield prefix + old, now if "." in now else prefix + now
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from old_names(field.annotation, f"{prefix}{name}.")


@pytest.mark.parametrize("kind", [ELMRecConfig, GraphGPTConfig])
def test_every_setting_says_what_it_means(kind):
    rows = list(describe_settings(kind))
    assert len({row.path for row in rows}) == len(rows) > 40
    assert all(row.meaning.endswith(".") for row in rows)
    assert any(row.symbol for row in rows)


def test_every_number_of_every_method_has_bounds():
    def numbers(kind, prefix=""):
        for name, field in kind.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
                yield from numbers(field.annotation, f"{prefix}{name}.")
            elif {int, float} & {field.annotation, *get_args(field.annotation)}:
                limits = [type(each).__name__.lower() for each in field.metadata]
                yield (
                    prefix + name,
                    {each[0] for each in limits if each in ("ge", "gt", "le", "lt")},
                )

    found = {
        (m.name, *each[:1]): each[1] for m in methods().values() for each in numbers(m.config_class)
    }
    assert len(found) > 100
    assert [name for name, sides in found.items() if sides != {"g", "l"}] == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "'a\\u001b'"])
def test_no_number_is_infinite(value):
    with pytest.raises(ConfigError, match=r"inner\.size"):
        with_overrides(Outer(), [f"inner.size={value}"])
