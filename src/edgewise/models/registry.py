"""The methods that can be fitted, by the names that people type; code loads when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgewise.config import check, nearest

if TYPE_CHECKING:
    from edgewise.runs.contract import Model


MethodConfig = Any
"""A frozen dataclass of settings with a ``seed``; which one, depends on the method."""

DEFAULT_METHOD = "elmrec"


@dataclass(frozen=True)
class Method:
    """Where the parts of a method are, as ``module:name``.

    Attributes:
        name: as it is typed and kept in ``run.json``.
        label: as tables and pages call it.
        recommender: the class that meets :class:`edgewise.runs.contract.Model`.
        config: the class of its settings.
        presets: a mapping from names to functions that build settings.
        preset: the function that builds the settings of a preset by its name.
    """

    name: str
    label: str
    recommender: str
    config: str
    presets: str
    preset: str

    def model(self, config: MethodConfig) -> Model:
        """A recommender that is not fitted yet."""
        return _found(self.recommender)(config)

    def load(self, folder: object) -> Model:
        """The recommender that was saved into a folder."""
        return _found(self.recommender).load(folder)

    def default_config(self) -> MethodConfig:
        """The settings that nobody has changed."""
        return _found(self.config)()

    def preset_config(self, name: str) -> MethodConfig:
        """The settings of a preset.

        Raises:
            ConfigError: there is none of this name.
        """
        return _found(self.preset)(name)

    def preset_names(self) -> list[str]:
        """All presets."""
        presets: Mapping[str, Callable[[], MethodConfig]] = _found(self.presets)
        return list(presets)


def _method(name: str, label: str, package: str, stem: str) -> Method:
    """A method whose package is laid out as all of them are."""
    parts = (f"recommender:{stem}", f"config:{stem}Config", "config:PRESETS", "config:preset")
    return Method(name, label, *(f"edgewise.models.{package}.{part}" for part in parts))


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _method("elmrec", "ELMRec", "elmrec", "ELMRec"),
        _method("graph-gpt", "Graph-attentive GPT-2", "graph_gpt", "GraphGPT"),
    )
}


def find_method(name: str, where: str = "") -> Method:
    """A method by its name.

    Args:
        name: as it was typed or read.
        where: prefix for the message, such as an option or a file.

    Raises:
        ConfigError: there is no such method; the nearest is named.
    """
    check(name in METHODS, f"{where}no such method: {name!r}.{nearest(name, METHODS)}")
    return METHODS[name]


def setting(config: MethodConfig, path: str, default: Any) -> Any:
    """A setting that some methods have, by ``section.key``; the default where this one has not."""
    place = config
    for name in path.split("."):
        if not hasattr(place, name):
            return default
        place = getattr(place, name)
    return place


def training_sections(config: MethodConfig) -> list[str]:
    """The sections that say how long to train: one, or one a stage."""
    from edgewise.training.config import TrainingConfig

    return list(_sections(config, TrainingConfig, ""))


def _sections(config: object, kind: type, prefix: str) -> list[str]:
    found: list[str] = []
    for field in fields(config):  # type: ignore[arg-type]
        value, path = getattr(config, field.name), prefix + field.name
        if isinstance(value, kind):
            found.append(path)
        elif is_dataclass(value):
            found += _sections(value, kind, f"{path}.")
    return found


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
