"""Every method is found by its name and has what runs ask for."""

from __future__ import annotations

import inspect
from importlib.util import find_spec

import pytest

from edgewise.config import to_dict
from edgewise.errors import ConfigError
from edgewise.models.elmrec.config import preset
from edgewise.models.registry import METHODS, find_method, setting, training_sections
from edgewise.runs.contract import Model
from edgewise.runs.spec import resolve_config, to_toml


@pytest.fixture(params=METHODS)
def method(request):
    found = METHODS[request.param]
    for path in (found.recommender, found.config, found.presets):
        module = path.partition(":")[0]
        if find_spec(module.rpartition(".")[0]) is None or find_spec(module) is None:
            pytest.skip(f"{module} is not written yet")
    return found


def test_names_are_as_they_are_typed():
    assert {name: method.label for name, method in METHODS.items()} == {
        "elmrec": "ELMRec",
        "graph-gpt": "Graph-attentive GPT-2",
    }
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize(("typed", "nearest"), [("elmrek", "elmrec"), ("graph_gpt", "graph-gpt")])
def test_an_unknown_method_is_refused_with_the_nearest(typed, nearest):
    with pytest.raises(ConfigError, match=f"--method: .*{typed}.*Did you mean '{nearest}'"):
        find_method(typed, "--method: ")


def test_its_model_takes_what_runs_ask(method):
    model = method.model(method.default_config())
    assert model.config == method.default_config()
    assert model.curves is None
    for name in ("fit", "recommend", "recommend_new", "score_candidates", "explain", "save"):
        wanted = inspect.signature(getattr(Model, name)).parameters
        has = inspect.signature(getattr(type(model), name)).parameters
        assert list(wanted) == [each for each in has if each in wanted], name
        extra = [has[each] for each in has.keys() - wanted.keys()]
        assert all(each.default is not inspect.Parameter.empty for each in extra), name


def test_its_presets_read_back_from_a_file_that_names_it(method, tmp_path):
    assert {"tiny", "cpu"} <= set(method.preset_names())
    for name in method.preset_names():
        config = method.preset_config(name)
        file = tmp_path / f"{name}.toml"
        file.write_text(to_toml(config, method.name))
        assert resolve_config(file=file) == resolve_config(file=file, method=method.name) == config


def test_its_training_is_found_and_has_a_seed(method):
    config = method.preset_config("tiny")
    assert config.seed == 0 and config.backbone.name
    sections = training_sections(config)
    assert sections and all(setting(config, f"{path}.epochs", 0) >= 1 for path in sections)


def test_a_setting_that_a_method_lacks_has_the_default(fake):
    config = fake.default_config()
    assert setting(config, "decoding.rerank", None) is None
    assert setting(config, "training.first.epochs", 0) == config.training.first.epochs > 0
    assert training_sections(config) == ["training.first", "training.second"]
    assert training_sections(preset("tiny")) == ["training"]
    assert to_dict(config)["training"].keys() == {"first", "second"}
