"""Every method is found by its name and has what runs ask for; installed ones are found, too."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint

import pytest

from edgewise.errors import ConfigError, ModelFolderError
from edgewise.models import registry
from edgewise.models.registry import METHODS, find_method, load_model, methods
from edgewise.recommender import Recommender


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


@pytest.fixture
def installed(monkeypatch):
    """Another package with a method of its own."""
    entry = EntryPoint("mine", "tests.fake_method:Fake", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] * (group == entry.group))
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


def test_names_are_as_they_are_typed():
    labels = {name: method.label for name, method in METHODS.items()}
    assert labels["elmrec"] == "ELMRec" and labels["graph-gpt"] == "Graph-attentive GPT-2"
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize(("typed", "nearest"), [("elmrek", "elmrec"), ("graph_gpt", "graph-gpt")])
def test_an_unknown_method_is_refused_with_the_nearest(typed, nearest):
    with pytest.raises(ConfigError, match=f"--method: .*{typed}.*Did you mean '{nearest}'"):
        find_method(typed, "--method: ")


def test_its_class_says_what_the_registry_says(method):
    kind = method.recommender
    assert (kind.name, kind.label) == (method.name, method.label)
    assert kind.Config is method.config_class and method.presets == kind.PRESETS


def test_its_model_takes_what_runs_ask(method):
    model = method.recommender(method.preset_config("tiny"))
    assert isinstance(model, Recommender)
    assert model.config == method.preset_config("tiny")
    assert model.stage_curves == {}
    for name in ("fit", "recommend", "recommend_new", "score_candidates", "explain"):
        wanted = inspect.signature(getattr(Recommender, name)).parameters
        has = inspect.signature(getattr(type(model), name)).parameters
        assert list(wanted) == [each for each in has if each in wanted], name
        extra = [has[each] for each in has.keys() - wanted.keys()]
        assert all(each.default is not inspect.Parameter.empty for each in extra), name


def test_it_has_presets_and_a_seed(method):
    assert {"tiny", "cpu"} <= set(method.presets)
    assert method.preset_config("tiny").seed == 0
    assert method.summary


def test_an_installed_method_is_found_and_listed(installed):
    assert list(methods())[-1] == "mine"
    assert find_method("mine").recommender.__name__ == "Fake"
    with pytest.raises(ConfigError, match="Did you mean 'mine'"):
        find_method("mien")


def test_a_method_that_cannot_be_loaded_is_named():
    broken = registry.Method("broken", "edgewise.no_such_module:Broken")
    with pytest.raises(ConfigError, match=r"edgewise\.no_such_module:Broken cannot be loaded"):
        _ = broken.recommender


def test_a_folder_of_an_unknown_method_is_refused(tmp_path):
    with pytest.raises(ModelFolderError, match="is not a model folder"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(
        '{"kind": "elmrek", "version": 3, "settings": {}, "sha256": {}, "seal": {}}'
    )
    with pytest.raises(ConfigError, match=r"no such method: 'elmrek'. Did you mean 'elmrec'"):
        load_model(tmp_path)
